"""Curves of all trials as TensorBoard event files, one run a trial, against training images seen."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from evaluation.metrics.table import METRICS
from studies.errors import StudyError
from studies.runner.progress import Listener
from studies.study.trial import Checkpoint, Trial

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


def scalars(checkpoint: Checkpoint) -> dict[str, float]:
    """What is drawn of a checkpoint, by tag; only what was measured."""
    scores = checkpoint.scores
    found: dict[str, float | None] = {
        "loss/training": checkpoint.training_loss,
        "loss/validation_log_ratio": scores.validation.mean,
        "loss/training_log_ratio": scores.training.mean if scores.training else None,
        "objective": checkpoint.objective,
    }
    for name, metric in METRICS.items():
        if metric.measure and (rise := scores.difference(name)):
            found[f"against_base/{name}"] = rise.mean
    return {tag: value for tag, value in found.items() if value is not None}


class Events:
    """Event files below one folder; what earlier processes wrote of the study is written anew, once.

    Args:
        folder: of all runs.
        trials: with their stored checkpoints.

    Raises:
        StudyError: tensorboard is not installed.
    """

    def __init__(self, folder: Path, trials: Iterable[Trial]) -> None:
        self._writer_type = _writer_type()
        self._folder = folder
        self._writers: dict[int, SummaryWriter] = {}
        self._written: set[tuple[int, int]] = set()
        for old in folder.glob("trial-*/events.out.tfevents.*"):
            old.unlink()
        for trial in trials:
            for checkpoint in trial.checkpoints:
                self.write(checkpoint)
            if trial.state != "running":
                self.close(trial.number)

    def write(self, checkpoint: Checkpoint) -> None:
        """Adds a checkpoint to its trial's run, unless it is there."""
        if checkpoint.key in self._written:
            return
        self._written.add(checkpoint.key)
        number = checkpoint.trial
        if number not in self._writers:
            self._writers[number] = self._writer_type(str(self._folder / f"trial-{number:04d}"))
        writer = self._writers[number]
        for tag, value in scalars(checkpoint).items():
            writer.add_scalar(tag, value, global_step=checkpoint.images_seen)
        writer.flush()

    def close(self, number: int | None = None) -> None:
        """Ends a trial's files, or all (None)."""
        for each in [number] if number is not None else list(self._writers):
            if each in self._writers:
                self._writers.pop(each).close()


class Curves(Listener):
    """Writes checkpoints as events.

    Args:
        events: where they go.
    """

    def __init__(self, events: Events) -> None:
        self._events = events

    def checkpoint(self, checkpoint: Checkpoint) -> None:
        """Writes it."""
        self._events.write(checkpoint)

    def ended(self, trial: Trial) -> None:
        """Ends the trial's files."""
        self._events.close(trial.number)


def _writer_type() -> type[SummaryWriter]:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise StudyError(
            "--tensorboard needs the package tensorboard: pip install 'lorasearch[tensorboard]'."
        ) from error
    return SummaryWriter
