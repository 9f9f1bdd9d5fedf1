"""Writes the LoRA file of a trial at an epoch end."""

from __future__ import annotations

from pathlib import Path

from trainer.lora_files import file, metadata
from trainer.outcome import EpochEnd
from trainer.plans.compute import Precision
from trainer.training.pack import Pack


def save_lora(path: Path, pack: Pack, end: EpochEnd, precision: Precision) -> None:
    """Writes what is saved and judged of a trial as a kohya file, whole or not at all."""
    run, bank = pack.runs[end.trial], pack.bank
    with pack.shown([end.trial]):
        tensors = file.slot_keys(bank, run.slot, pack.base.kohya_names)
    facts = metadata.metadata(run.plan, pack.data.dataset, pack.base.identity, path.stem, end)
    file.write(path, tensors, facts, precision)
