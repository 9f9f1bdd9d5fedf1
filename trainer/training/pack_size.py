"""How many trials to train at a time: measured on the machine at hand, up to where more no longer pays."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import psutil
import torch

from trainer.footprint.fitting import Setting
from trainer.footprint.forecast import Eyes, largest_pack
from trainer.footprint.needs import BLIND, Forecaster
from trainer.footprint.room import free_bytes
from trainer.outcome import OutOfMemory
from trainer.plan import TrainingPlan
from trainer.training.pack import Pack

WORTHWHILE = 1.1
"""By how much doubling a pack must raise images per second."""
MEMORY_SHARE = 0.9
"""How much of the device's memory a pack may fill."""
STEPS = 3
"""Timed steps of each size, after one that warms up."""
_ENDLESS = 1_000_000
"""Epochs of a trial that only serves to measure."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What a pack of one size did."""

    size: int
    images_per_second: float
    peak_bytes: int
    """Of the device, the base model included."""


def choose(readings: Sequence[Reading]) -> int:
    """The smallest size after which the next one gains less than ``WORTHWHILE``.

    Args:
        readings: by growing size, at least one.
    """
    for reading, larger in pairwise(readings):
        if larger.images_per_second < WORTHWHILE * reading.images_per_second:
            return reading.size
    return readings[-1].size


def measure(pack: Pack, plan: TrainingPlan, most: int, eyes: Eyes = BLIND) -> tuple[Reading, ...]:
    """Trains copies of ``plan`` in packs of 1, 2, 4, … for a few steps and throws them away.

    It ends where a doubling no longer pays, at ``most``, or where the next size would not fit, by what the last ones
    took and by the forecast, which counts the judge too.

    Args:
        pack: empty; it is left empty, with its limit as it was.
        plan: the study's heaviest trial.
        most: the largest size to try.
        eyes: the models that look at renders.

    Raises:
        torch.OutOfMemoryError: not even one such trial fits.
    """
    endless = plan.model_copy(update={"data": plan.data.model_copy(update={"epochs": _ENDLESS})})
    limit, readings = pack.limit, list[Reading]()
    most = fitting(pack, plan, most, eyes)
    size = 1
    while size <= most and _fits(readings, pack.base.device):
        reading = _read(pack, endless, size)
        if reading is None:
            break
        readings.append(reading)
        if choose(readings) < size:
            break
        size *= 2
    for trial in list(pack.runs):
        pack.evict(trial)
    pack.limit = limit
    return tuple(readings)


def fitting(pack: Pack, plan: TrainingPlan, most: int, eyes: Eyes) -> int:
    """How many such trials the device holds by the forecast, judged too: at least 1, and ``most`` on a CPU."""
    base = pack.base
    if base.device.type != "cuda":
        return most
    compute = plan.compute
    setting = Setting(plan.data.resolution, compute.base_format, bool(base.unet.is_gradient_checkpointing))
    room = int(MEMORY_SHARE * _all_bytes(base.device))
    found = Forecaster(plan, eyes=eyes).needs(setting)
    return max(1, largest_pack(found, plan.data.batch_size, base.residency.moves, room, most))


def _read(pack: Pack, plan: TrainingPlan, size: int) -> Reading | None:
    """None when memory ran out."""
    if pack.base.device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(pack.base.device)
    if not pack.runs:
        pack.reserve(plan, size)
    for trial in range(len(pack.runs), size):
        pack.admit(-1 - trial, plan)
    seconds = []
    with pack.prompt():
        for _ in range(1 + STEPS):
            began = time.perf_counter()
            if any(isinstance(event, OutOfMemory) for event in pack.step()):
                return None
            seconds.append((time.perf_counter() - began) / pack.last_images)
    return Reading(size, 1 / statistics.median(seconds[1:]), _peak_bytes(pack.base.device))


def _fits(readings: Sequence[Reading], device: torch.device) -> bool:
    """Whether twice the last size should fit, going by what the last doubling cost."""
    if len(readings) < 2:
        return True
    before, last = readings[-2:]
    return last.peak_bytes + 2 * (last.peak_bytes - before.peak_bytes) <= MEMORY_SHARE * _all_bytes(device)


def _peak_bytes(device: torch.device) -> int:
    return _process_peak_bytes() if device.type != "cuda" else torch.cuda.max_memory_reserved(device)


def _process_peak_bytes() -> int:
    """The most memory that this process has held so far: psutil knows it on Windows, and getrusage elsewhere."""
    if sys.platform == "win32":
        return int(psutil.Process().memory_info().peak_wset)
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _all_bytes(device: torch.device) -> int:
    """What this process has of the device and may still take: others use a card too."""
    if device.type != "cuda":
        return psutil.virtual_memory().total
    return free_bytes(device) + torch.cuda.memory_reserved(device)
