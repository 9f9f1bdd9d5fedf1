"""Which layers of a base model's networks can get a LoRA: those of its denoiser by its family, those of CLIP alike."""

from __future__ import annotations

from torch import nn

from trainer.adapters.targets import text_targets, weighted
from trainer.bases.families import functions_of
from trainer.bases.family import DENOISER


def targets(part: str, network: nn.Module) -> list[str]:
    """Layers that get a LoRA by default."""
    return functions_of(network).targets(network) if part == DENOISER else text_targets(network)


def beside(part: str, network: nn.Module) -> list[str]:
    """Layers that get one where a plan asks for more: a U-Net's convolution blocks, a transformer's other blocks."""
    return functions_of(network).beside(network) if part == DENOISER else []


def stored(denoiser: nn.Module) -> list[str]:
    """Layers of the denoiser whose frozen weights may be stored in fewer bits."""
    return functions_of(denoiser).stored(denoiser)


def others(part: str, network: nn.Module) -> list[str]:
    """Linear and Conv2d layers that nothing here adapts: first and last ones, time, text projection."""
    taken = {*targets(part, network), *beside(part, network)}
    return [name for name in weighted(network) if name not in taken]
