"""What a person sees while a study runs: bars on a terminal, a line per event elsewhere."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Protocol, Self

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

from search.trial import Reason, TrialRecord
from studies.report.explanation import sentence
from studies.text.format import described
from studies.text.terminal import plain


class Watch(Protocol):
    """Is told what happens; changes nothing."""

    def phase(self, text: str) -> None:
        """A new part of the work begins."""

    def started(self, number: int, values: Mapping[str, Any], resumed: bool) -> None:
        """A trial was admitted."""

    def stepped(self, images: int, loss: float) -> None:
        """The pack took a step over so many images with this mean squared error."""

    def checkpoint(self, number: int, card: Mapping[str, Any]) -> None:
        """A checkpoint was scored."""

    def returned(self, number: int, reason: Reason) -> None:
        """A trial left its slot and waits to be admitted again."""

    def lost(self, number: int) -> None:
        """A trial left its slot because another runner has taken it over, or somebody has ended it."""

    def ended(self, record: TrialRecord) -> None:
        """A trial has ended."""


class LineLog:
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

    def started(self, number: int, values: Mapping[str, Any], resumed: bool) -> None:
        """Prints the trial's values."""
        self._line(f"trial {number:>3} {'resumed' if resumed else 'started'}: {described(values)}")

    def stepped(self, images: int, loss: float) -> None:
        """Says nothing: steps are too many."""

    def checkpoint(self, number: int, card: Mapping[str, Any]) -> None:
        """Prints the scores."""
        self._line(f"trial {number:>3} {scores_line(card)}")

    def returned(self, number: int, reason: Reason) -> None:
        """Prints it."""
        self._line(f"trial {number:>3} waits: {sentence(reason)}")

    def lost(self, number: int) -> None:
        """Prints it."""
        self._line(f"trial {number:>3} is no longer this runner's: another took it over, or it was ended")

    def ended(self, record: TrialRecord) -> None:
        """Prints how and why."""
        why = f": {sentence(record.reason)}" if record.reason else ""
        self._line(f"trial {record.number:>3} {record.state}{why}")

    def _line(self, text: str) -> None:
        seconds = int(time.monotonic() - self._began)
        self._console.print(
            f"[{seconds // 60:>3}:{seconds % 60:02}] {plain(text)}",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )


class Bars:
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

    def started(self, number: int, values: Mapping[str, Any], resumed: bool) -> None:
        """Counts the trial in."""
        self._states["training"] = self._states.get("training", 0) + 1
        self._note()

    def stepped(self, images: int, loss: float) -> None:
        """Moves the images bar."""
        self._loss = loss if self._loss is None else 0.95 * self._loss + 0.05 * loss
        self._bars.update(self._images, advance=images, note=f"training loss {self._loss:.3f}")

    def checkpoint(self, number: int, card: Mapping[str, Any]) -> None:
        """Keeps the best in view."""
        objective = card.get("objective")
        if objective is not None and (self._best is None or objective > self._best[0]):
            self._best = objective, f"best {objective:+.2f}: trial {number}, epoch {card['epoch']}"
            self._note()

    def returned(self, number: int, reason: Reason) -> None:
        """Counts the trial out for now."""
        self.lost(number)

    def lost(self, number: int) -> None:
        """Counts the trial out."""
        self._states["training"] -= 1
        self._note()

    def ended(self, record: TrialRecord) -> None:
        """Counts the trial out."""
        self._states["training"] -= 1
        self._states[record.state] = self._states.get(record.state, 0) + 1
        self._bars.advance(self._trials)
        self._note()

    def _note(self) -> None:
        parts = [f"{count} {state}" for state, count in self._states.items() if count]
        parts += [self._best[1]] if self._best else []
        self._bars.update(self._trials, note=" · ".join(parts))


def scores_line(card: Mapping[str, Any]) -> str:
    """A checkpoint's epoch, images and scores on one line."""
    scores = card["scores"]
    text = f"epoch {card['epoch']:>2}, {card['images_seen']:>5} images: validation {_estimate(scores['validation'], 3)}"
    for name in ("clip_image", "clip_text"):
        if scores.get(name):
            text += f", {name.replace('_', ' ')} {_estimate(scores[name], 1)}"
    objective = card.get("objective")
    text = text if objective is None else f"{text}, objective {objective:+.2f}"
    return f"{text}, barred" if card.get("barred") else text


def _estimate(estimate: Mapping[str, float | None], digits: int) -> str:
    error = estimate["standard_error"]
    return f"{estimate['mean']:+.{digits}f} ± {'?' if error is None else format(error, f'.{digits}f')}"
