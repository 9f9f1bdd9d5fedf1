"""What a person sees while a study runs: bars on a terminal, a line per event elsewhere."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from evaluation.intervals import Estimate
from search.trial import Reason, Value
from studies.report.explanation import sentence
from studies.study.trial import Checkpoint, Trial
from studies.text.format import described, error
from studies.text.terminal import plain


class Listener:
    """Is told what happens in a run; changes nothing. Whoever listens overrides what it wants to hear."""

    def phase(self, text: str) -> None:
        """A new part of the work begins."""

    def started(self, number: int, values: Mapping[str, Value], resumed: bool) -> None:
        """A trial was admitted."""

    def stepped(self, images: int, loss: float | None) -> None:
        """The pack took a step over so many images; with a mean squared error, unless none was read yet."""

    def checkpoint(self, checkpoint: Checkpoint) -> None:
        """A checkpoint was scored."""

    def requeued(self, number: int, reason: Reason) -> None:
        """A trial left its slot and waits to be admitted again."""

    def lost(self, number: int) -> None:
        """A trial left its slot because another runner has taken it over, or somebody has ended it."""

    def ended(self, trial: Trial) -> None:
        """A trial has ended."""


class Listeners(Listener):
    """Several, each told everything, in their order."""

    def __init__(self, listeners: Sequence[Listener]) -> None:
        self._listeners = tuple(listeners)

    def phase(self, text: str) -> None:
        """Passes it on."""
        for one in self._listeners:
            one.phase(text)

    def started(self, number: int, values: Mapping[str, Value], resumed: bool) -> None:
        """Passes it on."""
        for one in self._listeners:
            one.started(number, values, resumed)

    def stepped(self, images: int, loss: float | None) -> None:
        """Passes it on."""
        for one in self._listeners:
            one.stepped(images, loss)

    def checkpoint(self, checkpoint: Checkpoint) -> None:
        """Passes it on."""
        for one in self._listeners:
            one.checkpoint(checkpoint)

    def requeued(self, number: int, reason: Reason) -> None:
        """Passes it on."""
        for one in self._listeners:
            one.requeued(number, reason)

    def lost(self, number: int) -> None:
        """Passes it on."""
        for one in self._listeners:
            one.lost(number)

    def ended(self, trial: Trial) -> None:
        """Passes it on."""
        for one in self._listeners:
            one.ended(trial)


class LineLog(Listener):
    """One line per event, for logs and pipes."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._began = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def phase(self, text: str) -> None:
        """Prints it."""
        self._line(text)

    def started(self, number: int, values: Mapping[str, Value], resumed: bool) -> None:
        """Prints the trial's values."""
        self._line(f"trial {number:>3} {'resumed' if resumed else 'started'}: {described(values)}")

    def checkpoint(self, checkpoint: Checkpoint) -> None:
        """Prints the scores."""
        self._line(f"trial {checkpoint.trial:>3} {scores_line(checkpoint)}")

    def requeued(self, number: int, reason: Reason) -> None:
        """Prints it."""
        self._line(f"trial {number:>3} waits: {sentence(reason)}")

    def lost(self, number: int) -> None:
        """Prints it."""
        self._line(f"trial {number:>3} is no longer this runner's: another took it over, or it was ended")

    def ended(self, trial: Trial) -> None:
        """Prints how and why."""
        why = f": {sentence(trial.reason)}" if trial.reason else ""
        self._line(f"trial {trial.number:>3} {trial.state}{why}")

    def _line(self, text: str) -> None:
        seconds = int(time.monotonic() - self._began)
        self._console.print(
            f"[{seconds // 60:>3}:{seconds % 60:02}] {plain(text)}",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )


class Bars(Listener):
    """Live bars: trials ended, images trained, and what was found so far."""

    def __init__(self, console: Console, trials: int | None, images: int) -> None:
        columns = (
            "{task.description:<9}",
            BarColumn(bar_width=28),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        )
        self._bars = Progress(
            *(TextColumn(c) if isinstance(c, str) else c for c in columns),
            TextColumn("{task.fields[note]}"),
            console=console,
        )
        self._trials = self._bars.add_task("trials", total=trials, note="")
        self._images = self._bars.add_task("images", total=images, note="")
        self._live = Live(self._bars, console=console, refresh_per_second=4)
        self._console = console
        self._states: dict[str, int] = {}
        self._seen: dict[int, int] = {}
        self._best: tuple[float, str] | None = None
        self._loss: float | None = None

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def phase(self, text: str) -> None:
        """Prints it above the bars."""
        self._console.print(plain(text), style="bold", markup=False)

    def started(self, number: int, values: Mapping[str, Value], resumed: bool) -> None:
        """Counts the trial in."""
        self._states["training"] = self._states.get("training", 0) + 1
        self._note()

    def stepped(self, images: int, loss: float | None) -> None:
        """Moves the images bar."""
        if loss is not None:
            self._loss = loss if self._loss is None else 0.95 * self._loss + 0.05 * loss
        note = "" if self._loss is None else f"training loss {self._loss:.3f}"
        self._bars.update(self._images, advance=images, note=note)

    def checkpoint(self, checkpoint: Checkpoint) -> None:
        """Keeps the best in view."""
        objective = checkpoint.objective
        if objective is not None and (self._best is None or objective > self._best[0]):
            where = f"trial {checkpoint.trial}, epoch {checkpoint.epoch}"
            self._best = objective, f"best {objective:+.2f}: {where}"
            self._note()

    def requeued(self, number: int, reason: Reason) -> None:
        """Counts the trial out for now."""
        self._states["training"] -= 1
        self._note()

    def lost(self, number: int) -> None:
        """Counts the trial out."""
        self._states["training"] -= 1
        self._note()

    def ended(self, trial: Trial) -> None:
        """Counts the trial out."""
        self._states["training"] -= 1
        self._states[trial.state] = self._states.get(trial.state, 0) + 1
        self._bars.advance(self._trials)
        self._note()

    def _note(self) -> None:
        parts = [f"{count} {state}" for state, count in self._states.items() if count]
        parts += [self._best[1]] if self._best else []
        self._bars.update(self._trials, note=" · ".join(parts))


def scores_line(checkpoint: Checkpoint) -> str:
    """A checkpoint's epoch, images and scores on one line."""
    scores = checkpoint.scores
    text = f"epoch {checkpoint.epoch:>2}, {checkpoint.images_seen:>5} images"
    text += f": validation {_estimate(scores.validation, 3)}"
    for name in ("clip_image", "clip_text"):
        if rise := scores.difference(name):
            text += f", {name.replace('_', ' ')} {_estimate(rise, 1)}"
    if checkpoint.objective is not None:
        text += f", objective {checkpoint.objective:+.2f}"
    return f"{text}, barred" if checkpoint.barred else text


def _estimate(found: Estimate, digits: int) -> str:
    return f"{found.mean:+.{digits}f} ± {error(found.standard_error, digits)}"
