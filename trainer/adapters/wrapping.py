"""Which layers of a base model are wrapped, so that slots can adapt them."""

from __future__ import annotations

from trainer.adapters.bank import AdapterBank
from trainer.adapters.targets import convolution_targets, text_targets, unet_targets
from trainer.bases.base_model import BaseModel


def bank_for(base: BaseModel, capacity: int) -> AdapterBank:
    """Wraps attention, feed-forward and convolution layers of the U-Net, and the text encoders' own."""
    models = {"unet": base.unet, **base.text_encoders}
    targets = {"unet": unet_targets(base.unet)}
    targets |= {part: text_targets(encoder) for part, encoder in base.text_encoders.items()}
    return AdapterBank(models, targets, capacity, {"unet": convolution_targets(base.unet)})
