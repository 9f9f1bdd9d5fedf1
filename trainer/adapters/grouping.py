"""Which batch rows can be computed together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

import torch
from torch import Tensor

from trainer.adapters.dropout import Drop
from trainer.adapters.group import Factors, Group
from trainer.adapters.shape import Shape
from trainer.sending import send

Row = int | None
"""The slot that a batch row belongs to; None is the bare base model."""
Presentations = Sequence[int] | None
"""What each row presents, in training; None elsewhere, so that nothing is dropped."""


@dataclass(frozen=True, slots=True)
class Slot:
    """What the bank knows of an open slot."""

    shape: Shape
    seed: int
    rank: int
    """The largest at a Linear or 1x1 layer."""
    layers: frozenset[str] | None
    """Names of its layers where it lacks some; None if it has all outside convolution blocks."""
    decomposed: frozenset[str] = frozenset()
    """Names of its layers with a magnitude."""


@dataclass(frozen=True, slots=True)
class Resident:
    """Where the bank keeps its factors, and how it computes."""

    weights: Tensor
    """Shape (slots, width)."""
    columns: Mapping[str, slice]
    """Of each part of the model."""
    dtype: torch.dtype
    """That of the base model."""
    ragged: bool
    """Whether slots with unequally many rows are computed together."""

    @property
    def copies(self) -> bool:
        """Whether factors must be brought to the base model's number format."""
        return self.dtype != self.weights.dtype


RAGGED_RANK = 64
"""Rank up to which ranks are padded where launches cost more than products do."""
_ALIGNED = 8
"""Multiple of which a rank must be for products of unequally many rows (16 bytes in half precision)."""


@dataclass(frozen=True, slots=True)
class _Run:
    """Rows of one slot that stand together."""

    number: int
    slot: Slot
    start: int
    stop: int

    @property
    def plain(self) -> bool:
        """Whether it has neither convolutions nor magnitudes, whose terms want equally many rows a slot."""
        return not (self.slot.shape.conv_rank or self.slot.decomposed)

    def joins(self, members: Sequence[_Run], ragged: bool) -> bool:
        """Whether it can be computed together with the runs before it."""
        if self.start != members[-1].stop:
            return False
        ranks = [run.slot.rank for run in (*members, self)]
        if ragged and all(run.plain for run in (*members, self)):
            return max(ranks) <= max(2 * min(ranks), RAGGED_RANK)
        alike = self.stop - self.start == members[0].stop - members[0].start
        kin = self.slot.decomposed == members[0].slot.decomposed
        return alike and kin and self.slot.rank <= 2 * ranks[0]


def groups(
    rows: Sequence[Row],
    presentations: Presentations,
    slots: Mapping[int, Slot],
    bank: Resident,
) -> tuple[Group, ...]:
    """The rows that have a slot, in groups of neighbours.

    Args:
        rows: slot of each row.
        presentations: what each row presents.
        slots: the open ones.
        bank: where their factors are.
    """
    members: list[list[_Run]] = []
    for number, run in runs(rows):
        found = _Run(number, slots[number], run[0], run[-1] + 1)
        if members and found.joins(members[-1], bank.ragged):
            members[-1].append(found)
        else:
            members.append([found])
    return tuple(_group(runs, presentations, bank) for runs in members)


def room_for(rank: int, ragged: bool) -> int:
    """The room that a rank takes."""
    return -(-rank // _ALIGNED) * _ALIGNED if ragged else rank


def runs(rows: Sequence[Row]) -> list[tuple[int, list[int]]]:
    """Each slot with those of its rows that stand together."""
    parts = groupby(range(len(rows)), key=lambda row: rows[row])
    return [(slot, list(members)) for slot, members in parts if slot is not None]


def _group(runs: list[_Run], presentations: Presentations, bank: Resident) -> Group:
    shapes, like = [run.slot.shape for run in runs], bank.weights
    conv_rank = max(shape.conv_rank for shape in shapes)
    partial = any(run.slot.layers is not None for run in runs)
    index = _index([run.number for run in runs], like.device)
    counts = [run.stop - run.start for run in runs]
    ragged = len(set(counts)) > 1
    scales = [shape.scale for shape in shapes]
    rank = max(run.slot.rank for run in runs)
    copied = bank.copies or not isinstance(index, slice)
    return Group(
        start=runs[0].start,
        stop=runs[-1].stop,
        slots=tuple(run.number for run in runs),
        rank=room_for(rank, ragged),
        index=index,
        scale=_column(scales, like),
        conv_rank=conv_rank,
        conv_scale=_column([shape.conv_scale for shape in shapes], like) if conv_rank else None,
        layers=_layers(runs) if partial else None,
        decomposed=runs[0].slot.decomposed,
        drops=_drops(runs, presentations),
        counts=tuple(counts) if ragged else (),
        copies=Factors(like, bank.columns, index, scales, bank.dtype) if copied else None,
    )


def _layers(runs: list[_Run]) -> frozenset[str] | None:
    found: frozenset[str] = frozenset()
    for run in runs:
        if run.slot.layers is None:
            return None
        found |= run.slot.layers
    return found


def _drops(runs: list[_Run], presentations: Presentations) -> tuple[Drop | None, ...]:
    if presentations is None or not any(run.slot.shape.dropout for run in runs):
        return ()
    return tuple(
        Drop(run.slot.shape, run.slot.seed, presentations[row]) if run.slot.shape.dropout else None
        for run in runs
        for row in range(run.start, run.stop)
    )


def _index(slots: list[int], device: torch.device) -> Tensor | slice:
    if slots == list(range(slots[0], slots[0] + len(slots))):
        return slice(slots[0], slots[-1] + 1)
    return send(torch.tensor(slots), device)


def _column(values: list[float], like: Tensor) -> Tensor:
    return send(torch.tensor(values, dtype=like.dtype), like.device).view(-1, 1, 1)
