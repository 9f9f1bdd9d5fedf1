"""Which batch rows can be computed together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

import torch
from torch import Tensor

from trainer.adapters.dropout import Drop
from trainer.adapters.linear import Group
from trainer.adapters.shape import Shape

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
class _Run:
    """Rows of one slot that stand together."""

    number: int
    slot: Slot
    start: int
    stop: int

    def joins(self, first: _Run, last: _Run) -> bool:
        """Whether it can be computed together with a row of runs before it."""
        wasteful = self.slot.rank > 2 * first.slot.rank
        alike = self.stop - self.start == last.stop - last.start
        kin = self.slot.decomposed == first.slot.decomposed
        return self.start == last.stop and alike and kin and not wasteful


def groups(
    rows: Sequence[Row],
    presentations: Presentations,
    slots: Mapping[int, Slot],
    like: Tensor,
) -> tuple[Group, ...]:
    """The rows that have a slot, in groups of neighbours.

    Args:
        rows: slot of each row.
        presentations: what each row presents.
        slots: the open ones.
        like: a tensor of the bank, for device and number format.
    """
    members: list[list[_Run]] = []
    for number, run in runs(rows):
        found = _Run(number, slots[number], run[0], run[-1] + 1)
        if members and found.joins(members[-1][0], members[-1][-1]):
            members[-1].append(found)
        else:
            members.append([found])
    return tuple(_group(runs, presentations, like) for runs in members)


def runs(rows: Sequence[Row]) -> list[tuple[int, list[int]]]:
    """Each slot with those of its rows that stand together."""
    parts = groupby(range(len(rows)), key=lambda row: rows[row])
    return [(slot, list(members)) for slot, members in parts if slot is not None]


def _group(runs: list[_Run], presentations: Presentations, like: Tensor) -> Group:
    shapes = [run.slot.shape for run in runs]
    conv_rank = max(shape.conv_rank for shape in shapes)
    partial = any(run.slot.layers is not None for run in runs)
    return Group(
        start=runs[0].start,
        stop=runs[-1].stop,
        slots=tuple(run.number for run in runs),
        rank=max(run.slot.rank for run in runs),
        index=_index([run.number for run in runs], like.device),
        scale=_column([shape.scale for shape in shapes], like),
        conv_rank=conv_rank,
        conv_scale=_column([shape.conv_scale for shape in shapes], like) if conv_rank else None,
        layers=_layers(runs) if partial else None,
        decomposed=runs[0].slot.decomposed,
        drops=_drops(runs, presentations),
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
    return torch.tensor(slots, device=device)


def _column(values: list[float], like: Tensor) -> Tensor:
    return torch.tensor(values, device=like.device, dtype=like.dtype).view(-1, 1, 1)
