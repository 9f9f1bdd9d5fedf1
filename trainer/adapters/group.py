"""Batch rows that are computed together, and the products of their slots' low-rank factors.

A group is a run of batch rows. Where its slots have equally many rows each, products are batched over slots; else the
rows stand one after another and a slot's part of them is told by where it ends. Ranks inside a group are padded with
zeros, which stay zero.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate

import torch
from torch import Tensor

from trainer.adapters.dropout import Drop, mask
from trainer.sending import send


class Factors:
    """The factors of a group's slots in the number format of the base model, made once for all layers of a part.

    Args:
        weights: the bank's, shape (slots, width).
        columns: of each part of the model.
        slots: of the group, in the order of its rows.
        scales: what multiplies B A of each.
        dtype: of the base model.
    """

    def __init__(
        self,
        weights: Tensor,
        columns: Mapping[str, slice],
        slots: Tensor | slice,
        scales: Sequence[float],
        dtype: torch.dtype,
    ) -> None:
        self._weights, self._columns, self._slots = weights, columns, slots
        self._scales, self._dtype = scales, dtype
        self._made: dict[str, tuple[Tensor, Tensor]] = {}

    def of(self, layer: Layer, factor: str, rank: int, scaled: bool) -> Tensor:
        """A or B of all slots at a layer, shape (slots, rank, inputs or outputs).

        Args:
            layer: where.
            factor: "down" or "up".
            rank: of the group.
            scaled: whether times what multiplies B A.
        """
        part = layer.name.partition(".")[0]
        if part not in self._made:
            self._made[part] = self._make(self._columns[part])
        room = getattr(layer, factor)
        whole = self._made[part][scaled]
        start = room.storage_offset() - self._columns[part].start
        found = whole[:, start : start + room[0].numel()]
        return found.view(len(found), *room.shape[1:])[:, :rank]

    def _make(self, columns: slice) -> tuple[Tensor, Tensor]:
        taken = self._weights[self._slots, columns]
        plain = taken.to(self._dtype)
        if all(scale == 1 for scale in self._scales):
            return plain, plain
        factors = send(torch.tensor(self._scales, dtype=taken.dtype), taken.device)
        return plain, torch.mul(taken, factors[:, None], out=torch.empty_like(plain))


@dataclass(frozen=True, slots=True)
class Group:
    """Consecutive rows that are computed together."""

    start: int
    stop: int
    slots: tuple[int, ...]
    rank: int
    """The largest rank among the slots; the others are padded with zeros."""
    index: Tensor | slice
    scale: Tensor
    """Shape (slots, 1, 1)."""
    conv_rank: int = 0
    """The same for 3x3 convolutions; 0 where no slot adapts convolution blocks."""
    conv_scale: Tensor | None = None
    layers: frozenset[str] | None = None
    """Names of the layers that some of the slots adapt; None for all outside convolution blocks."""
    decomposed: frozenset[str] = frozenset()
    """Names of the layers where all of the slots have a magnitude."""
    drops: tuple[Drop | None, ...] = ()
    """How each row is thinned out; empty for not at all."""
    counts: tuple[int, ...] = ()
    """Rows of each slot; empty where all have equally many."""
    copies: Factors | None = None
    """Factors in the base model's number format; None where the bank's own serve."""
    _offsets: dict[int, Tensor] = field(default_factory=dict)
    _views: dict[tuple[str, str], Tensor] = field(default_factory=dict)

    @property
    def lasting(self) -> bool:
        """Whether it serves every pass over such rows, since it holds nothing of this one."""
        return self.copies is None and not self.drops

    def adapts(self, layer: Layer) -> bool:
        """Whether one of the slots may have a term there."""
        if not layer.rank or (layer.resnet and not self.conv_rank):
            return False
        return self.layers is None or layer.name in self.layers

    def factor(self, layer: Layer, name: str, scaled: bool) -> Tensor:
        """A ("down") or B transposed ("up") of all slots, shape (slots, rank, inputs or outputs).

        Args:
            layer: where.
            name: of the factor.
            scaled: whether the copies are wanted that hold what multiplies B A; the bank's own never do.
        """
        if self.copies is not None:
            return self.copies.of(layer, name, self.rank, scaled)
        return self._view(layer, name)

    def _view(self, layer: Layer, name: str) -> Tensor:
        """The slots' part of one of the bank's tensors at a layer, made once."""
        key = layer.name, name
        if key not in self._views:
            self._views[key] = getattr(layer, name)[self.index, : self.rank]
        return self._views[key]

    def scaled(self, hidden: Tensor) -> Tensor:
        """What still has to be multiplied by alpha / rank."""
        return hidden if self.copies is not None else hidden * self.scale

    def rows(self, x: Tensor) -> Tensor:
        """The group's rows of x (rows, tokens, width), as products take them, without a copy.

        Shape (slots, rows per slot * tokens, width), or (rows * tokens, width) where slots have unequally many.
        """
        mine = x[self.start : self.stop]
        if self.counts:
            return mine.flatten(0, 1)
        return mine.view(len(self.slots), -1, x.shape[-1])

    def by_row(self, hidden: Tensor) -> Tensor:
        """From what ``rows`` gave to (rows, tokens, width), without a copy."""
        return hidden.view(self.stop - self.start, -1, hidden.shape[-1])

    def times(self, left: Tensor, factor: Tensor) -> Tensor:
        """left[slot] @ factor[slot] for every slot; ``left`` as ``rows`` gives it."""
        if not self.counts:
            return torch.bmm(left, factor)
        return self._ragged(left, factor)

    def add_times(self, total: Tensor, left: Tensor, factor: Tensor) -> None:
        """The same, added to ``total``, as ``rows`` gives it."""
        if not self.counts:
            total.baddbmm_(left, factor)
        else:
            total.add_(self.times(left, factor))

    def accumulate(self, layer: Layer, name: str, left: Tensor, right: Tensor) -> None:
        """Adds left[slot]^T right[slot] to each slot's gradient; a slot may occur more than once.

        Args:
            layer: where.
            name: "down_grad" or "up_grad".
            left: as ``rows`` gives it, ``rank`` wide.
            right: likewise.
        """
        if not isinstance(self.index, slice):
            self.collect(getattr(layer, name)[:, : self.rank], self._outer(left, right))
            return
        mine = self._view(layer, name)
        if self.counts or not mine.is_cuda:
            mine.add_(self._outer(left, right))
        elif left.dtype == mine.dtype:
            mine.baddbmm_(left.mT, right)
        else:
            torch.ops.aten.baddbmm.dtype_out(mine, left.mT, right, mine.dtype, out=mine)

    def collect(self, total: Tensor, found: Tensor) -> None:
        """Adds gradients, the first side the group's slots, to those of all slots; a slot may occur more than once."""
        if isinstance(self.index, slice):
            total[self.index].add_(found)
        else:
            total.index_add_(0, self.index, found.to(total.dtype))

    def thinned(self, hidden: Tensor, layer: Layer) -> Tensor | None:
        """Drops parts of A x in place; the factors, shape (rows, tokens or 1, width), or None."""
        if not self.drops:
            return None
        rows = self.by_row(hidden)
        kept = mask(self.drops, layer, rows)
        rows.mul_(kept)
        return kept

    def _outer(self, left: Tensor, right: Tensor) -> Tensor:
        return self._ragged(left.mT, right) if self.counts else torch.bmm(left.mT, right)

    def _ragged(self, left: Tensor, right: Tensor) -> Tensor:
        """(tokens, k) with (slots, k, n) -> (tokens, n); (k, tokens) with (tokens, n) -> (slots, k, n)."""
        outer = right.dim() == 2
        tokens = left.shape[1 if outer else 0]
        if _fits(left) and _fits(right):
            return torch.nn.functional.grouped_mm(left, right, offs=self._ends(tokens, left.device))
        sizes = [tokens // (self.stop - self.start) * count for count in self.counts]
        lefts = torch.split(left, sizes, 1 if outer else 0)
        rights = torch.split(right, sizes) if outer else right
        parts = [one @ other for one, other in zip(lefts, rights, strict=True)]
        return torch.stack(parts) if outer else torch.cat(parts)

    def _ends(self, tokens: int, device: torch.device) -> Tensor:
        """Where each slot's tokens end, of so many in the group: shape (slots,), int32."""
        if tokens not in self._offsets:
            each = tokens // (self.stop - self.start)
            ends = [each * rows for rows in accumulate(self.counts)]
            self._offsets[tokens] = send(torch.tensor(ends, dtype=torch.int32), device)
        return self._offsets[tokens]


def _fits(factor: Tensor) -> bool:
    """Whether ``grouped_mm`` takes it: strides of whole 16 bytes, no float64."""
    strides = (stride * factor.itemsize for stride in factor.stride() if stride != 1)
    return factor.dtype != torch.float64 and all(stride % 16 == 0 for stride in strides)


@dataclass(slots=True)
class Layer:
    """Where a frozen layer's low-rank factors lie in the bank."""

    name: str
    inputs: int
    outputs: int
    pointwise: bool
    """Whether it is a 1x1 convolution."""
    kernel: int = 1
    """Side of the convolution's kernel; 1 for Linear layers."""
    resnet: bool = False
    """Whether it stands in a convolution block, which gets a LoRA only together with its 3x3 layers."""
    rank: int = 0
    """Rank for which the bank has room."""
    magnitudes: int = 0
    """1 where the bank has room for magnitudes, else 0."""
    down: Tensor = field(init=False)
    """A: shape (slots, rank, inputs), a view of the bank's weights."""
    up: Tensor = field(init=False)
    """B transposed: shape (slots, rank, outputs)."""
    down_grad: Tensor = field(init=False)
    up_grad: Tensor = field(init=False)
    magnitude: Tensor = field(init=False)
    """DoRA's m: shape (slots, 1 or 0, outputs)."""
    magnitude_grad: Tensor = field(init=False)
