"""The LoRA file of a trial at an epoch end: written, and put into a slot again."""

from __future__ import annotations

from pathlib import Path

from trainer.adapters.bank import AdapterBank
from trainer.lora_files import file, metadata
from trainer.lora_files.kohya import Names
from trainer.outcome import EpochEnd
from trainer.plan import TrainingPlan
from trainer.plan_paths import KEY
from trainer.plans.compute import Precision
from trainer.training.pack import Pack
from trainer.training.run import shape_of


def save_lora(path: Path, pack: Pack, end: EpochEnd, precision: Precision) -> None:
    """Writes what is saved and judged of a trial as a kohya file, whole or not at all."""
    run, bank = pack.runs[end.trial], pack.bank
    with pack.shown([end.trial]):
        tensors = file.slot_keys(bank, run.slot, pack.base.kohya_names)
    facts = metadata.metadata(run.plan, pack.data.dataset, pack.base.identity, path.stem, end)
    file.write(path, tensors, facts, precision)


def load_lora(path: Path, bank: AdapterBank, slot: int, names: Names) -> TrainingPlan:
    """Opens a slot with what ``save_lora`` wrote, and gives the plan by which it was trained.

    Raises:
        LoraFileError: the file is missing, or is of another base model.
    """
    lora = file.read(path)
    plan = TrainingPlan.model_validate_json(lora.metadata[KEY])
    bank.open(slot, shape_of(plan), 0)
    file.load_slot(bank, slot, lora.tensors, names)
    return plan
