"""Which layers of a base model are wrapped, so that slots can adapt them."""

from __future__ import annotations

from collections.abc import Mapping

from torch import nn

from trainer.adapters.bank import AdapterBank
from trainer.adapters.targets import norm_targets
from trainer.bases.base_model import BaseModel
from trainer.bases.family import DENOISER
from trainer.bases.layers import beside, others, targets


def bank_for(base: BaseModel, capacity: int) -> AdapterBank:
    """Wraps the layers of denoiser and text encoders that a plan may adapt."""
    models = _models(base)
    return AdapterBank(models, _targets(models), capacity, {DENOISER: beside(DENOISER, base.unet)})


def bank_for_files(base: BaseModel, capacity: int) -> AdapterBank:
    """Wraps every layer that a file of another trainer may adapt: all that hold weights but embeddings."""
    models = _models(base)
    wider = {part: beside(part, model) + others(part, model) for part, model in models.items()}
    norms = {part: norm_targets(model) for part, model in models.items()}
    return AdapterBank(models, _targets(models), capacity, wider, norms)


def _models(base: BaseModel) -> dict[str, nn.Module]:
    return {DENOISER: base.unet, **base.text_encoders}


def _targets(models: Mapping[str, nn.Module]) -> dict[str, list[str]]:
    return {part: targets(part, model) for part, model in models.items()}
