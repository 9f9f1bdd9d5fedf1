"""One layer of a LoRA, whatever file it came from or goes to (pure)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

_SAME = 1e-6
"""Scales that differ by less than this share are one; files keep alpha in float32."""

MOST_RANK = 1024
"""Of a layer; all layers of a slot have room for the largest rank, so that one could fill the memory."""


class LoraFileError(Exception):
    """A LoRA file cannot be read; the message is one sentence."""


@dataclass(frozen=True, slots=True)
class LowRank:
    """delta W = (alpha / rank) up down; with a magnitude, DoRA's of it (``trainer.adapters.dora``)."""

    down: Tensor
    """A: shape (rank, inputs), of a convolution (rank, inputs, height, width)."""
    up: Tensor
    """B: shape (outputs, rank), of a convolution (outputs, rank, 1, 1)."""
    alpha: float
    magnitude: Tensor | None = None
    """Shape (outputs,)."""

    @property
    def rank(self) -> int:
        """The inner dimension."""
        return self.down.shape[0]

    @property
    def scale(self) -> float:
        """alpha / rank."""
        return self.alpha / self.rank


Layers = dict[str, LowRank]
"""By the bank's layer name, ``<part>.<path>``."""


def from_state(
    state: Mapping[str, Tensor], scales: Mapping[str, float], kernels: Mapping[str, tuple[int, int]]
) -> Layers:
    """A bank's slot state, layer by layer.

    Args:
        state: ``<layer>.down`` (rank, inputs), ``<layer>.up`` (outputs, rank), with DoRA ``<layer>.magnitude``.
        scales: alpha / rank by layer.
        kernels: height and width of the convolutions' kernels, by layer.
    """
    layers: Layers = {}
    for name in state:
        layer, _, factor = name.rpartition(".")
        if factor != "down":
            continue
        down, up = state[name], state[f"{layer}.up"]
        if layer in kernels:
            down, up = down.view(len(down), -1, *kernels[layer]), up[:, :, None, None]
        magnitude = state.get(f"{layer}.magnitude")
        layers[layer] = LowRank(down, up, scales[layer] * len(down), magnitude)
    return layers


def slot_state(
    layers: Mapping[str, LowRank], slot: Mapping[str, Tensor], scales: Mapping[str, float]
) -> dict[str, Tensor]:
    """The inverse: what an open slot must hold to act like ``layers``.

    Layers of a smaller rank are padded with zeros, layers of another scale are multiplied out, and layers that
    the LoRA lacks are zero, with the magnitudes that the slot has.

    Args:
        layers: the LoRA.
        slot: the state of the open slot, for names and shapes.
        scales: alpha / rank of the slot's layers.

    Raises:
        LoraFileError: a layer is missing in the slot, or does not fit into it.
    """
    state = {
        name: value.clone() if name.endswith(".magnitude") else torch.zeros_like(value)
        for name, value in slot.items()
    }
    for name, layer in layers.items():
        if f"{name}.down" not in state:
            raise LoraFileError(
                f"the slot has no layer {name!r}; was the LoRA made for other parts or another base?"
            )
        places = state[f"{name}.down"], state[f"{name}.up"]
        down, up = _trimmed(layer, len(places[0]))
        fits = down.shape[1] == places[0].shape[1] and up.shape[0] == places[1].shape[0]
        if not fits or len(down) > len(places[0]):
            raise LoraFileError(
                f"{name}: factors of shape {tuple(up.shape)} and {tuple(down.shape)} do not fit into "
                f"{tuple(places[1].shape)} and {tuple(places[0].shape)}; was the LoRA made for another base?"
            )
        if (layer.magnitude is not None) != (f"{name}.magnitude" in state):
            raise LoraFileError(f"{name}: of the LoRA and the slot one has DoRA's magnitudes, the other none")
        if layer.magnitude is not None:
            state[f"{name}.magnitude"] = layer.magnitude.float()
        factor = layer.scale / scales[name]
        places[0][: len(down)] = down
        places[1][:, : len(down)] = up if math.isclose(factor, 1, rel_tol=_SAME) else up * factor
    return state


def _trimmed(layer: LowRank, rank: int) -> tuple[Tensor, Tensor]:
    """A (rank, inputs) and B (outputs, rank) without the empty dimensions that fill a layer up beyond a rank."""
    down, up = layer.down.flatten(1).float(), layer.up.flatten(1).float()
    if len(down) > rank and not up[:, rank:].any() and not down[rank:].any():
        return down[:rank], up[:, :rank]
    return down, up


def pair(found: Mapping[str, dict[str, Tensor]], alphas: Mapping[str, float]) -> Layers:
    """Layers from their factors.

    Args:
        found: ``down`` and ``up`` by layer.
        alphas: by layer; a missing one is the layer's rank.

    Raises:
        LoraFileError: a layer has one factor only.
    """
    layers: Layers = {}
    for name, factors in found.items():
        if len(factors) != 2:
            held = f"only its {next(iter(factors))} factor" if factors else "none of its factors"
            raise LoraFileError(f"{name}: the file holds {held}; save or download it again.")
        _check_factors(name, factors["down"], factors["up"])
        layers[name] = LowRank(factors["down"], factors["up"], alphas.get(name, len(factors["down"])))
    return layers


def number(key: str, value: Tensor) -> float:
    """The one number that an alpha or a mark must be.

    Raises:
        LoraFileError: it is another tensor, or infinite.
    """
    if value.numel() != 1 or value.is_complex():
        raise LoraFileError(f"{key} must be one finite number, but its shape is {tuple(value.shape)}.")
    if not math.isfinite(float(value)):
        raise LoraFileError(f"{key} must be one finite number, but got {float(value)}.")
    return float(value)


def _check_factors(name: str, down: Tensor, up: Tensor) -> None:
    for factor in (down, up):
        if factor.ndim not in (2, 4) or not factor.is_floating_point() or factor.element_size() < 2:
            raise LoraFileError(
                f"{name}: a factor must have 2 or 4 sides in a floating type of 16 bits or more, but it has shape "
                f"{tuple(factor.shape)} in {str(factor.dtype).removeprefix('torch.')}; save it again in float16."
            )
    rank = down.shape[0]
    if not 1 <= rank <= MOST_RANK or up.shape[1] != rank or up[:1].numel() != rank:
        raise LoraFileError(
            f"{name}: factors of shape {tuple(up.shape)} and {tuple(down.shape)} are no LoRA of rank 1 to "
            f"{MOST_RANK}; save or download it again."
        )
