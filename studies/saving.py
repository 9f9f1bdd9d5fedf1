"""Writes the LoRA file of a trial at an epoch end."""

from __future__ import annotations

from pathlib import Path

from trainer import lora_file
from trainer.outcome import EpochEnd
from trainer.pack import Pack
from trainer.plans.compute import Precision


def save_lora(path: Path, pack: Pack, end: EpochEnd, precision: Precision) -> None:
    """Writes what is saved and judged of a trial as a kohya file, whole or not at all."""
    run, bank = pack.runs[end.trial], pack.bank
    with pack.shown([end.trial]):
        tensors = lora_file.slot_keys(bank, run.slot, pack.base.kohya_names)
    facts = lora_file.metadata(run.plan, pack.data.dataset, pack.base.identity, path.stem, end)
    lora_file.write(path, tensors, facts, precision)
