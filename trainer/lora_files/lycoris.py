"""LyCORIS files (LoHa, LoKr, DoRA, GLoRA, IA3, OFT, full ...): what their layers make of the base model's weights."""

from __future__ import annotations

import copy
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from trainer.lora_files.layers import LoraFileError

_MARKS = frozenset(
    {
        "hada_w1_a",
        "lokr_w1",
        "lokr_w1_a",
        "oft_blocks",
        "on_input",
        "a1.weight",
        "diff",
        "dora_scale",
        "w_norm",
    }
)
"""Keys that only LyCORIS' algorithms and DoRA have."""

_RANKS = {
    "hada_w1_b": 0,
    "lokr_w1_b": 0,
    "lokr_w2_b": 0,
    "lora_down.weight": 0,
    "a2.weight": 0,
    "oft_blocks": -1,
}
"""Tensors of which a side is the rank."""


@dataclass(frozen=True, slots=True)
class Lycoris:
    """A file's tensors by the bank's layer and LyCORIS' name."""

    tensors: Mapping[str, Mapping[str, Tensor]]

    def __len__(self) -> int:
        return len(self.tensors)


def is_lycoris(keys: Iterable[str]) -> bool:
    """Whether a file with such keys needs LyCORIS to be read."""
    return any(key.partition(".")[2] in _MARKS for key in keys)


def grouped(tensors: Mapping[str, Tensor], stems: Mapping[str, str]) -> Lycoris:
    """A file's tensors, layer by layer.

    Args:
        tensors: by kohya's names.
        stems: kohya's name of a layer -> the bank's.

    Raises:
        LoraFileError: a key names a layer that the base model lacks.
    """
    found: dict[str, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        stem, _, name = key.partition(".")
        if stem not in stems:
            raise LoraFileError(f"{key!r} names a layer that this base model does not have.")
        found.setdefault(stems[stem], {})[name] = value
    return Lycoris(found)


def difference(layer: str, tensors: Mapping[str, Tensor], inner: nn.Module) -> tuple[Tensor, Tensor | None]:
    """What a layer's tensors add to its frozen weight, computed by the library itself.

    Args:
        layer: its name, for errors.
        tensors: by LyCORIS' names.
        inner: the frozen Linear or Conv2d.

    Returns:
        The differences of weight (in the frozen weight's shape) and of bias, if any.

    Raises:
        LoraFileError: no algorithm has such tensors, or they do not fit the layer.
    """
    weight = inner.get_parameter("weight").detach().float().cpu()
    try:
        gained = _gained(layer, tensors, inner, weight)
    except (RuntimeError, TypeError, ValueError, IndexError, AttributeError, NotImplementedError) as error:
        raise _unfit(layer, tensors, weight, error) from error
    if not bool(torch.isfinite(gained).all()):
        raise LoraFileError(f"{layer}: its weights are not finite.")
    bias = tensors.get("diff_b")
    return gained, None if bias is None else bias.float()


def rank(tensors: Mapping[str, Tensor]) -> int:
    """The rank of a layer's factors, 1 where it has none."""
    found = [value.shape[side] for name, side in _RANKS.items() if (value := tensors.get(name)) is not None]
    return int(max(found, default=1))


def _gained(layer: str, tensors: Mapping[str, Tensor], inner: nn.Module, weight: Tensor) -> Tensor:
    if "diff" in tensors:
        return tensors["diff"].float().view_as(weight)
    from lycoris.modules import get_module, make_module
    from lycoris.modules.ia3 import IA3Module

    logging.getLogger("LyCORIS").setLevel(logging.WARNING)
    state = {f"{layer}.{name}": value.float() for name, value in tensors.items()}
    kind, found = get_module(state, layer)
    if kind is None:
        raise LoraFileError(f"{layer}: no algorithm of LyCORIS has the tensors {', '.join(sorted(tensors))}.")
    if kind is IA3Module:  # whose reader takes one tensor of the two that it lists
        sides = (1, -1) if bool(tensors["on_input"]) else (-1, 1)
        return weight * tensors["weight"].float().view(*sides, *(1 for _ in weight.shape[2:]))
    module: Any = make_module(kind, found, layer, copy.deepcopy(inner).float().cpu())
    if module is None:
        raise LoraFileError(f"{layer}: LyCORIS cannot read files of {kind.__name__.removesuffix('Module')}.")
    merged: Tensor = module.get_merged_weight(1.0, weight.shape)[0]
    return merged.detach().float().view_as(weight) - weight


def _unfit(layer: str, tensors: Mapping[str, Tensor], weight: Tensor, error: Exception) -> LoraFileError:
    shapes = ", ".join(f"{name} {tuple(value.shape)}" for name, value in sorted(tensors.items()))
    said = str(error).strip().splitlines()[:1]
    return LoraFileError(
        f"{layer}: {shapes} do not fit the base model's weight {tuple(weight.shape)} ({''.join(said)}); was it made "
        "for another base?"
    )
