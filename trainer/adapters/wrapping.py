"""Which layers of a base model are wrapped, so that slots can adapt them."""

from __future__ import annotations

from torch import nn

from trainer.adapters.bank import AdapterBank
from trainer.adapters.targets import (
    convolution_targets,
    norm_targets,
    other_targets,
    text_targets,
    unet_targets,
)
from trainer.bases.base_model import BaseModel


def bank_for(base: BaseModel, capacity: int) -> AdapterBank:
    """Wraps attention, feed-forward and convolution layers of the U-Net, and the text encoders' own."""
    return AdapterBank(_models(base), _targets(base), capacity, {"unet": convolution_targets(base.unet)})


def bank_for_files(base: BaseModel, capacity: int) -> AdapterBank:
    """Wraps every layer that a file of another trainer may adapt: all that hold weights but embeddings."""
    models = _models(base)
    wider = {part: other_targets(model) for part, model in models.items()}
    wider["unet"] = convolution_targets(base.unet) + wider["unet"]
    norms = {part: norm_targets(model) for part, model in models.items()}
    return AdapterBank(models, _targets(base), capacity, wider, norms)


def _models(base: BaseModel) -> dict[str, nn.Module]:
    return {"unet": base.unet, **base.text_encoders}


def _targets(base: BaseModel) -> dict[str, list[str]]:
    text = {part: text_targets(encoder) for part, encoder in base.text_encoders.items()}
    return {"unet": unet_targets(base.unet), **text}
