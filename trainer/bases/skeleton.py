"""The networks of a base model without weights, on the meta device: for their layers' names and shapes."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from trainer.adapters.targets import norm_targets
from trainer.bases.family import DENOISER
from trainer.bases.find import Source
from trainer.bases.layers import beside, targets
from trainer.bases.layers import others as other_layers


def networks(source: Source) -> dict[str, nn.Module]:
    """The denoiser and those text encoders that can get a LoRA, by part name."""
    import diffusers

    denoiser = getattr(diffusers, source.family.denoiser.architecture)
    with torch.device("meta"):
        made: dict[str, nn.Module] = {DENOISER: denoiser.from_config(source.denoiser_config)}
        return made | _text(source, True)


def readers(source: Source) -> dict[str, nn.Module]:
    """The text encoders that get none, by part name."""
    with torch.device("meta"):
        return _text(source, False)


def _text(source: Source, trained: bool) -> dict[str, nn.Module]:
    import transformers

    made: dict[str, nn.Module] = {}
    for encoder in source.encoders:
        if encoder.trained == trained:
            kind = getattr(transformers, encoder.architecture)
            config: Any = kind.config_class.from_pretrained(source.configs / encoder.part)
            made[encoder.part] = kind(config)
    return made


def vae(source: Source) -> nn.Module:
    """The autoencoder; of one that comes in a single file, the family's own."""
    import diffusers

    with torch.device("meta"):
        made: nn.Module = getattr(diffusers, source.family.vae).from_config(source.vae_config)
    return made


def layers(made: dict[str, nn.Module]) -> tuple[str, ...]:
    """The bank's names of all layers that get a LoRA by default, ``<part>.<path>``."""
    return tuple(f"{part}.{path}" for part, model in made.items() for path in targets(part, model))


def adaptable(made: dict[str, nn.Module]) -> tuple[str, ...]:
    """All layers that are trained here: those, and those beside them in the denoiser."""
    return layers(made) + tuple(f"{DENOISER}.{path}" for path in beside(DENOISER, made[DENOISER]))


def others(made: dict[str, nn.Module]) -> tuple[str, ...]:
    """Linear and convolution layers that files of other trainers may hold besides."""
    return tuple(f"{part}.{path}" for part, model in made.items() for path in other_layers(part, model))


def readable(made: dict[str, nn.Module]) -> tuple[str, ...]:
    """All layers that a file of any trainer may hold: those, and normalisation layers."""
    norms = tuple(f"{part}.{path}" for part, model in made.items() for path in norm_targets(model))
    return adaptable(made) + others(made) + norms
