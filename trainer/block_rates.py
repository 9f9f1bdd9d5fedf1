"""Learning rates by block of the U-Net."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from trainer.shape import Shape



def split(groups: Groups, leaves: Mapping[str, nn.Parameter], shape: Shape) -> Groups:
    """Parameter groups in which every block has its own learning rate.

    Args:
        groups: each with "params" and "lr"; untouched where the shape names no rates.
        leaves: the slot's leaf tensors, ``<layer>.<factor>``.
        shape: of the slot.
    """
    if not shape.block_rates:
        return groups
    factors = {id(leaf): shape.rate_of(name.rpartition(".")[0]) for name, leaf in leaves.items()}
    return [part for group in groups for part in _parts(group, factors)]


def _parts(group: dict[str, Any], factors: Mapping[int, float]) -> Groups:
    found: dict[float, list[nn.Parameter]] = {}
    for leaf in group["params"]:
        found.setdefault(factors[id(leaf)], []).append(leaf)
    return [{**group, "params": leaves, "lr": group["lr"] * factor} for factor, leaves in found.items()]
