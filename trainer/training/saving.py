"""The LoRA file of a trial at an epoch end: written, and put into a slot again."""

from __future__ import annotations

from pathlib import Path

from trainer.adapters.bank import AdapterBank
from trainer.lora_files import file, formats, metadata
from trainer.lora_files.kohya import Names
from trainer.lora_files.layers import from_state
from trainer.outcome import EpochEnd
from trainer.plan import TrainingPlan
from trainer.plan_paths import KEY
from trainer.plans.compute import Precision
from trainer.training.pack import Pack
from trainer.training.run import shape_of


def save_lora(path: Path, pack: Pack, end: EpochEnd, precision: Precision) -> None:
    """Writes what is saved and judged of a trial in its family's own layout, whole or not at all."""
    run, bank, names = pack.runs[end.trial], pack.bank, pack.base.kohya_names
    facts = metadata.metadata(run.plan, pack.data.dataset, pack.base.identity, path.stem, end)
    with pack.shown([end.trial]):
        if bank.unpacked(run.slot) is not None:
            file.write(path, file.slot_keys(bank, run.slot, names), facts, precision)
            return
        layers = from_state(bank.state(run.slot), bank.scales(run.slot), bank.kernels)
    formats.write(path, layers, names.family.lora.layout, names, facts, precision)


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
