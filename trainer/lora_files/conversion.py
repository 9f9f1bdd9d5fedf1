"""From one layout of LoRA files to another, without loading the base model's weights."""

from __future__ import annotations

from pathlib import Path

import torch

from trainer.bases import find, skeleton
from trainer.lora_files import formats, kohya
from trainer.lora_files.formats import Format
from trainer.lora_files.layers import Layers
from trainer.plans.base import BasePlan
from trainer.plans.compute import Precision

_PRECISIONS: dict[torch.dtype, Precision] = {
    torch.float32: "no",
    torch.float16: "fp16",
    torch.bfloat16: "bf16",
}


def convert(source: Path, target: Path, layout: Format, base: BasePlan, metadata: dict[str, str]) -> None:
    """Writes a LoRA anew in another layout, in the number format that it has.

    Args:
        source: a LoRA of any layout.
        target: a file, or a folder for PEFT.
        layout: which keys.
        base: the base model that the LoRA was made for; its configuration names the layers.
        metadata: what the new files say of themselves.

    Raises:
        BaseModelError: the base model is not there.
        LoraFileError: the LoRA cannot be read, or belongs to another base model.
    """
    found = find.find(base)
    made = skeleton.networks(found)
    names = kohya.Names.of(found.family, made["unet"].config)  # type: ignore[arg-type]
    layers = formats.trained(source, names, skeleton.adaptable(made))
    formats.write(target, layers, layout, names, metadata, _precision(layers))


def _precision(layers: Layers) -> Precision:
    return next((_PRECISIONS.get(layer.down.dtype, "no") for layer in layers.values()), "no")
