"""How a stay in the pack ends, or pauses: values to match on."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from trainer.trouble import Trouble


@dataclass(frozen=True, slots=True)
class EpochEnd:
    """A trial reached the end of an epoch: its adapter is ready to be saved and scored."""

    trial: int
    epoch: int
    images_seen: int
    steps: int
    training_loss: float
    """Mean squared error averaged over the epoch, unweighted."""
    last: bool


@dataclass(frozen=True, slots=True)
class Diverged:
    """A trial blew up; its slot is free."""

    trial: int
    images_seen: int
    trouble: Trouble


@dataclass(frozen=True, slots=True)
class OutOfMemory:
    """A trial was put out to make room; its training since the last epoch end is undone."""

    trial: int


Event = EpochEnd | Diverged | OutOfMemory


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out: a device's, or the machine's, of which torch's allocator tells by a mere RuntimeError."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    return isinstance(error, RuntimeError) and "can't allocate memory" in str(error)
