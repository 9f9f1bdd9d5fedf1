"""The mean of several LoRAs' weight differences, as a LoRA of the first one's ranks (pure)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from trainer.lora_files.layers import LoraFileError

_SPELLINGS = ((".lora_down.weight", ".lora_up.weight"), (".lora_A.weight", ".lora_B.weight"))
"""What the keys of A and B end in: kohya's, and diffusers'."""
_ALPHA = ".alpha"


def averaged(members: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """The mean of delta W over LoRAs, layer by layer, cut back to the first one's rank.

    Factors cannot be averaged themselves: the mean of products is not the product of means, and factors of two trials
    have nothing in common. The mean has the sum of all ranks; the nearest of the first one's rank is taken (Eckart and
    Young 1936). A layer that a member lacks counts as no change in it.

    Args:
        members: tensors by key, each of a plain LoRA, all in kohya's layout or all in diffusers' as it is written here
            (alpha is the rank); their layers are among the first one's.

    Returns:
        Tensors of the first one's keys and shapes, in float32, with its alphas.

    Raises:
        LoraFileError: a member is of another algorithm, has layers that the first lacks, or of other shapes.
    """
    first = members[0]
    ends = next((ends for ends in _SPELLINGS if any(key.endswith(ends[0]) for key in first)), _SPELLINGS[0])
    stems = [key.removesuffix(ends[0]) for key in first if key.endswith(ends[0])]
    known = {stem + end for stem in stems for end in (*ends, _ALPHA)}
    strange = sorted(key for member in members for key in member if key not in known)
    if strange:
        raise LoraFileError(f"{strange[0]!r} is no factor of a plain LoRA's layer that all have")
    found: dict[str, Tensor] = {}
    for stem in stems:
        factors = [_layer(member, stem, ends) for member in members if stem + ends[0] in member]
        down, up = _cut(stem, factors, len(members))
        found |= {stem + ends[0]: down, stem + ends[1]: up}
        if factors[0].alpha is not None:
            found[stem + _ALPHA] = factors[0].alpha
    return found


@dataclass(frozen=True, slots=True)
class _Pair:
    """A member's factors at a layer, as its file holds them."""

    down: Tensor
    up: Tensor
    alpha: Tensor | None

    @property
    def scale(self) -> float:
        return 1.0 if self.alpha is None else float(self.alpha) / len(self.down)

    def products(self, count: int) -> tuple[Tensor, Tensor]:
        """B times its share of the scale, and A: (outputs, rank) and (rank, inputs), float64."""
        return self.up.flatten(1).double() * (self.scale / count), self.down.flatten(1).double()


def _layer(member: Mapping[str, Tensor], stem: str, ends: tuple[str, str]) -> _Pair:
    return _Pair(member[stem + ends[0]], member[stem + ends[1]], member.get(stem + _ALPHA))


def _cut(stem: str, layers: Sequence[_Pair], count: int) -> tuple[Tensor, Tensor]:
    """A and B of the mean over ``count`` members, in the first one's shapes and scale."""
    first = layers[0]
    ups, downs = zip(*(layer.products(count) for layer in layers), strict=True)
    if len({len(up) for up in ups}) > 1 or len({down.shape[1] for down in downs}) > 1:
        raise LoraFileError(f"{stem}: the layers differ in shape; were they made for the same base?")
    left, small = torch.linalg.qr(torch.cat(ups, dim=1))
    right, narrow = torch.linalg.qr(torch.cat(downs).T)
    turn, sizes, back = torch.linalg.svd(small @ narrow.T)
    rank = min(len(first.down), len(sizes))
    halves = sizes[:rank].sqrt()
    down, up = (torch.zeros_like(part, dtype=torch.float32) for part in (first.down, first.up))
    up.flatten(1)[:, :rank] = (left @ turn[:, :rank] * (halves / first.scale)).float()
    down.flatten(1)[:rank] = (halves[:, None] * (back[:rank] @ right.T)).float()
    return down, up
