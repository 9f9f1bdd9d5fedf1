"""Who listens to a run: a person, and TensorBoard if it is asked for."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console

from studies.runner.progress import Bars, LineLog, Listener, Listeners
from studies.runner.tensorboard import Curves, Events
from studies.study.study import Study
from studies.study.trial import read_trials


@contextmanager
def listening(study: Study, console: Console, log: bool, tensorboard: bool) -> Iterator[Listener]:
    """Shows and writes what a run tells while it lasts.

    Args:
        study: opened.
        console: where events are shown.
        log: whether they are lines even on a terminal.
        tensorboard: whether curves are written for TensorBoard, too.

    Raises:
        StudyError: tensorboard is not installed.
    """
    events = Events(study.workspace.tensorboard, read_trials(study.memory)) if tensorboard else None
    shown = _shown(study, console, log)
    with shown:
        yield Listeners([Curves(events), shown] if events else [shown])
    if events:
        events.close()


def _shown(study: Study, console: Console, log: bool) -> LineLog | Bars:
    if log or not sys.stdout.isatty():
        return LineLog(console)
    budget = study.spec.budget
    images = budget.images or (budget.trials or 0) * budget.images_per_trial
    return Bars(console, budget.trials, images)
