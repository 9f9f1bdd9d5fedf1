"""The networks of a base model without weights, on the meta device: for their layers' names and shapes."""

from __future__ import annotations

import json
from typing import Any

import torch
from torch import nn

from trainer.adapters.targets import (
    convolution_targets,
    norm_targets,
    other_targets,
    text_targets,
    unet_targets,
)
from trainer.bases.find import Source


def networks(source: Source) -> dict[str, nn.Module]:
    """U-Net and text encoders by part name."""
    import transformers
    from diffusers import UNet2DConditionModel

    unet = json.loads((source.configs / "unet" / "config.json").read_text(encoding="utf-8"))
    with torch.device("meta"):
        made: dict[str, nn.Module] = {"unet": UNet2DConditionModel.from_config(unet)}
        for encoder in source.family.text_encoders:
            config: Any = transformers.CLIPTextConfig.from_pretrained(source.configs / encoder.part)
            made[encoder.part] = getattr(transformers, encoder.architecture)(config)
    return made


def vae(source: Source) -> nn.Module:
    """The autoencoder; of one that comes in a single file, the family's own."""
    from diffusers import AutoencoderKL

    separate = source.vae if source.vae is not None and source.vae.is_dir() else None
    folder = separate or source.configs / "vae"
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    with torch.device("meta"):
        made: nn.Module = AutoencoderKL.from_config(config)
    return made


def layers(made: dict[str, nn.Module]) -> tuple[str, ...]:
    """The bank's names of all layers that get a LoRA by default, ``<part>.<path>``."""
    found = {
        part: text_targets(model) if part != "unet" else unet_targets(model) for part, model in made.items()
    }
    return tuple(f"{part}.{path}" for part, paths in found.items() for path in paths)


def adaptable(made: dict[str, nn.Module]) -> tuple[str, ...]:
    """All layers that are trained here: those, and the U-Net's convolution blocks."""
    return layers(made) + tuple(f"unet.{path}" for path in convolution_targets(made["unet"]))


def others(made: dict[str, nn.Module]) -> tuple[str, ...]:
    """Linear and convolution layers that files of other trainers may hold besides."""
    return tuple(f"{part}.{path}" for part, model in made.items() for path in other_targets(model))


def readable(made: dict[str, nn.Module]) -> tuple[str, ...]:
    """All layers that a file of any trainer may hold: those, and normalisation layers."""
    norms = tuple(f"{part}.{path}" for part, model in made.items() for path in norm_targets(model))
    return adaptable(made) + others(made) + norms
