"""Curves of all trials as TensorBoard event files, one run a trial, against training images seen."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evaluation.scorecard import METRICS
from search.trial import Reason, TrialRecord
from studies.errors import StudyError
from studies.runner.progress import Watch
from studies.selection.checkpoint import Card, facts

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


def scalars(card: Card) -> dict[str, float]:
    """What is drawn of a checkpoint, by tag; only what was measured.

    Args:
        card: a stored one.
    """
    scores = facts(card)
    found: dict[str, float | None] = {
        "loss/training": card.get("training_loss"),
        "loss/validation_log_ratio": scores.validation.mean,
        "loss/training_log_ratio": scores.training.mean if scores.training else None,
        "objective": card.get("objective"),
    }
    for name in METRICS[1:]:
        estimate = getattr(scores, name)
        found[f"against_base/{name}"] = estimate.mean if estimate else None
    return {tag: float(value) for tag, value in found.items() if value is not None}


class Events:
    """Event files below one folder; what earlier processes wrote of the study is written anew, once.

    Args:
        folder: of all runs.
        records: trials with their stored cards.

    Raises:
        StudyError: tensorboard is not installed.
    """

    def __init__(self, folder: Path, records: Iterable[TrialRecord]) -> None:
        self._writer_type = _writer_type()
        self._folder = folder
        self._writers: dict[int, SummaryWriter] = {}
        self._written: set[tuple[int, int]] = set()
        for old in folder.glob("trial-*/events.out.tfevents.*"):
            old.unlink()
        for record in records:
            for card in record.cards:
                self.write(record.number, card)
            if record.state != "running":
                self.close(record.number)

    def write(self, number: int, card: Card) -> None:
        """Adds a checkpoint to a trial's run, unless it is there."""
        place = number, int(card["epoch"])
        if place in self._written:
            return
        self._written.add(place)
        if number not in self._writers:
            self._writers[number] = self._writer_type(str(self._folder / f"trial-{number:04d}"))
        writer = self._writers[number]
        for tag, value in scalars(card).items():
            writer.add_scalar(tag, value, global_step=int(card["images_seen"]))
        writer.flush()

    def close(self, number: int | None = None) -> None:
        """Ends a trial's files, or all (None)."""
        for each in [number] if number is not None else list(self._writers):
            if each in self._writers:
                self._writers.pop(each).close()


class Recorded:
    """A watch whose checkpoints are written as events, too.

    Args:
        watch: is told everything.
        events: where checkpoints go.
    """

    def __init__(self, watch: Watch, events: Events) -> None:
        self._watch, self._events = watch, events

    def phase(self, text: str) -> None:
        """Passes it on."""
        self._watch.phase(text)

    def started(self, number: int, values: Mapping[str, Any], resumed: bool) -> None:
        """Passes it on."""
        self._watch.started(number, values, resumed)

    def stepped(self, images: int, loss: float) -> None:
        """Passes it on."""
        self._watch.stepped(images, loss)

    def checkpoint(self, number: int, card: Mapping[str, Any]) -> None:
        """Writes the checkpoint."""
        self._events.write(number, card)
        self._watch.checkpoint(number, card)

    def returned(self, number: int, reason: Reason) -> None:
        """Passes it on."""
        self._watch.returned(number, reason)

    def lost(self, number: int) -> None:
        """Passes it on."""
        self._watch.lost(number)

    def ended(self, record: TrialRecord) -> None:
        """Ends the trial's files."""
        self._events.close(record.number)
        self._watch.ended(record)


def _writer_type() -> type[SummaryWriter]:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise StudyError(
            "--tensorboard needs the package tensorboard: pip install 'lorasearch[tensorboard]'."
        ) from error
    return SummaryWriter
