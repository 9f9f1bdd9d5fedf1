"""The mean of several LoRAs' weight differences, as a LoRA of the first one's ranks (pure)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from trainer.lora_files.layers import LoraFileError

_DOWN, _UP, _ALPHA = ".lora_down.weight", ".lora_up.weight", ".alpha"


def averaged(members: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """The mean of delta W over LoRAs, layer by layer, cut back to the first one's rank.

    Factors cannot be averaged themselves: the mean of products is not the product of means, and factors of two trials
    have nothing in common. The mean has the sum of all ranks; the nearest of the first one's rank is taken (Eckart and
    Young 1936). A layer that a member lacks counts as no change in it.

    Args:
        members: kohya's tensors by key, each of a plain LoRA; their layers are among the first one's.

    Returns:
        Tensors of the first one's keys and shapes, in float32, with its alphas.

    Raises:
        LoraFileError: a member is of another algorithm, has layers that the first lacks, or of other shapes.
    """
    first = members[0]
    stems = [key.removesuffix(_DOWN) for key in first if key.endswith(_DOWN)]
    known = {stem + end for stem in stems for end in (_DOWN, _UP, _ALPHA)}
    strange = sorted(key for member in members for key in member if key not in known)
    if strange:
        raise LoraFileError(f"{strange[0]!r} is no factor of a plain LoRA's layer that all have")
    found: dict[str, Tensor] = {}
    for stem in stems:
        parts = [_factors(member, stem, len(members)) for member in members if stem + _DOWN in member]
        found |= _cut(first, stem, [up for up, _ in parts], [down for _, down in parts])
    return found


def _factors(member: Mapping[str, Tensor], stem: str, count: int) -> tuple[Tensor, Tensor]:
    """B times its share of the scale, and A: (outputs, rank) and (rank, inputs), float64."""
    down, up = member[stem + _DOWN].flatten(1).double(), member[stem + _UP].flatten(1).double()
    alpha = member.get(stem + _ALPHA)
    scale = (float(alpha) if alpha is not None else len(down)) / len(down)
    return up * (scale / count), down


def _cut(
    first: Mapping[str, Tensor], stem: str, ups: Sequence[Tensor], downs: Sequence[Tensor]
) -> dict[str, Tensor]:
    """The sum of some products as the nearest product of the first one's shapes and scale."""
    like_down, like_up = first[stem + _DOWN], first[stem + _UP]
    if len({len(up) for up in ups}) > 1 or len({down.shape[1] for down in downs}) > 1:
        raise LoraFileError(f"{stem}: the layers differ in shape; were they made for the same base?")
    left, small = torch.linalg.qr(torch.cat(list(ups), dim=1))
    right, narrow = torch.linalg.qr(torch.cat(list(downs)).T)
    turn, sizes, back = torch.linalg.svd(small @ narrow.T)
    rank = min(len(like_down), len(sizes))
    halves = sizes[:rank].sqrt()
    alpha = first.get(stem + _ALPHA)
    scale = (float(alpha) if alpha is not None else len(like_down)) / len(like_down)
    up, down = (
        torch.zeros_like(like_up, dtype=torch.float32),
        torch.zeros_like(like_down, dtype=torch.float32),
    )
    up.flatten(1)[:, :rank] = (left @ turn[:, :rank] * (halves / scale)).float()
    down.flatten(1)[:rank] = (halves[:, None] * (back[:rank] @ right.T)).float()
    kept = {stem + _ALPHA: alpha} if alpha is not None else {}
    return {stem + _DOWN: down, stem + _UP: up, **kept}
