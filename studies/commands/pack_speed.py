"""How fast packs of a study train, measured without leaving a trace."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from studies.engines.judge_builder import eyes_of
from studies.errors import memory_told
from studies.spec.planner import Planner
from studies.spec.sections import PackSection
from trainer.training import pack_size, session
from trainer.training.pack_size import Reading

OUT_OF_MEMORY = (
    "Not even one trial of this study fits into memory: lower its largest rank, batch size or "
    "resolution, or set compute.gradient_checkpointing = true, compute.offload = 'all' or compute.base_format = 'nf4'."
)


def pack_of(section: PackSection, readings: Sequence[Reading]) -> int:
    """How many trials are in memory at a time; 1 where that was to be measured and was not."""
    if section.size != "auto":
        return section.size
    return pack_size.choose(readings) if readings else 1


def measured(planner: Planner) -> tuple[Reading, ...]:
    """Trains a few real steps and throws them away; a cache in a temporary folder is all that is written."""
    plan, pack = planner.heaviest(), planner.spec.pack
    most = pack.limit
    with tempfile.TemporaryDirectory() as folder, memory_told(OUT_OF_MEMORY):
        opened = session.open(plan, planner.dataset, Path(folder), most)
        readings = pack_size.measure(opened, plan, most, eyes_of(planner.spec.judge))
    if pack.size == "auto":
        chosen = pack_size.choose(readings)
        return tuple(reading for reading in readings if reading.size <= chosen)
    return readings
