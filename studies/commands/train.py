"""Trains one plan with no search."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import assert_never

from studies.commands.training import Training
from studies.commands.training_samples import write_samples
from studies.errors import StudyError, memory_told
from studies.report.explanation import sentence
from trainer.outcome import Diverged, EpochEnd, OutOfMemory
from trainer.training import session
from trainer.training.checkpoints import save_state
from trainer.training.pack import Pack
from trainer.training.saving import save_lora

OUT_OF_MEMORY = (
    "Memory ran out: lower lora.rank, data.batch_size or data.resolution, or set "
    "compute.gradient_checkpointing = true."
)


def train(
    training: Training,
    on_step: Callable[[int, int, float | None], None],
    on_epoch: Callable[[EpochEnd, Path | None], None],
) -> Path:
    """Trains to the end, from where an earlier process stopped, and gives the last epoch's file.

    Args:
        training: opened.
        on_step: is told the steps taken, all steps, and the step's mean squared error.
        on_epoch: is told every epoch end and its file, None where none is written.

    Raises:
        StudyError: training diverged, or memory ran out.
    """
    plan, output = training.plan, training.output
    last = output.lora(plan.data.epochs)
    pack = session.open(plan, training.dataset, output.cache, 1)
    run = pack.admit(0, plan, output.state if output.state.exists() else None)
    while not run.finished:
        with memory_told(OUT_OF_MEMORY):
            events = pack.step()
        on_step(run.progress.steps, run.total_steps, pack.last_loss)
        for event in events:
            match event:
                case EpochEnd():
                    on_epoch(event, _epoch_end(training, pack, event))
                case Diverged(trouble=trouble):
                    raise StudyError(
                        f"Training diverged: {sentence(trouble)}; lower optimiser.unet_lr and start again with another "
                        "--out."
                    )
                case OutOfMemory():
                    raise StudyError("Memory ran out.")
                case _:
                    assert_never(event)
    return last


def _epoch_end(training: Training, pack: Pack, end: EpochEnd) -> Path | None:
    """Writes the LoRA file, the pictures, then the state that claims them; removes files no longer kept."""
    output, save = training.output, training.file.save
    path = output.lora(end.epoch) if output.writes(end.epoch, save.every_n_epochs) else None
    if path is not None:
        save_lora(path, pack, end, save.precision)
    if output.writes(end.epoch, training.file.samples.every_n_epochs):
        write_samples(training, pack, end)
    save_state(output.state, pack.runs[end.trial], pack.bank)
    for surplus in output.surplus(end.epoch, save):
        surplus.unlink(missing_ok=True)
    return path
