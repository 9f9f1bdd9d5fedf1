"""Runs a study file from start to report in this process."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from search.storage import StorageError
from studies.commands import dashboard
from studies.engines.choice import INLINE, EngineChoice
from studies.engines.choice import opened as engine_of
from studies.engines.engine import Equipped
from studies.errors import StudyError, in_sentences, quiet
from studies.report import study_page
from studies.report.summary import summary
from studies.runner import progress
from studies.runner.runner import Runner
from studies.runner.tensorboard import Curves, Events
from studies.selection.document import Selection
from studies.study import beginning
from studies.study.probe import FIELD, REMEMBERED, as_remembered, remembered
from studies.study.run_times import RunTimes
from studies.study.study import Study
from studies.study.trial import read_trials
from studies.text.terminal import plain
from trainer.files import waiting_for_room
from trainer.training import pack_size

_PACK_SIZE = "pack_size"
_NOTES = "notes_written"


def launch(
    path: Path,
    root: Path | None,
    log: bool,
    tensorboard: bool = False,
    storage: str | None = None,
    runner: str | None = None,
    engine: EngineChoice = INLINE,
) -> None:
    """Opens, searches, chooses and reports; prints what happens.

    Args:
        path: of the study file.
        root: of the workspace; None takes the default.
        log: whether events are lines even on a terminal.
        tensorboard: whether curves are written for TensorBoard, too.
        storage: the database as on the command line; None takes the study file's.
        runner: this runner's name where several share the study; None takes the machine's.
        engine: where trials are trained.

    Raises:
        StudyError: with what is wrong and what to do.
    """
    engine.check()
    quiet()
    began = time.monotonic()
    console = Console(stderr=False)

    def told(text: str) -> None:
        console.print(f"note: {text}", markup=False)

    with _resumable(), waiting_for_room(told), beginning.running(path, root, storage, runner, told) as opened:
        for note in opened.dataset.warnings:
            console.print(plain(f"note: {note}"), markup=False)
        events = Events(opened.workspace.tensorboard, read_trials(opened.memory)) if tensorboard else None
        seen = _watch(opened, console, log)
        with seen, in_sentences(), _resumable():
            listeners = progress.Listeners([Curves(events), seen] if events else [seen])
            selection = _run(opened, listeners, engine, began)
        if events:
            events.close()
        times = RunTimes.of(opened.memory)
        console.print(summary(opened, selection, times), markup=False, highlight=False, soft_wrap=True)


def _run(opened: Study, seen: progress.Listener, engine: EngineChoice, began: float) -> Selection:
    with engine_of(engine, opened, seen.stepped, seen.phase) as worker:
        worker.limit_pack(_pack_size(opened, worker, seen))
        opened = probed(opened, worker, seen)
        selection = Runner(opened, worker, seen).run()
        seen.phase("writing the report")
        RunTimes(**worker.seconds, wall=time.monotonic() - began).remember(opened.memory)
        _annotate(opened, selection)
        study_page.write(opened, selection)
    return selection


@contextmanager
def _resumable() -> Iterator[None]:
    """Says of a database that failed how to go on once it works again."""
    try:
        yield
    except StorageError as error:
        raise StudyError(
            f"{str(error).rstrip('.')}. Once it works, run the same command again to go on."
        ) from None


def _annotate(opened: Study, selection: Selection) -> None:
    """Writes the dashboard's notes; where runners share the study, one does."""

    def write() -> None:
        dashboard.annotate(opened, selection)
        opened.memory.remember(_NOTES, selection.trials)

    if opened.memory.is_shared:
        opened.leases.once("notes", lambda: opened.memory.recall(_NOTES) == selection.trials, write)
    else:
        write()


def _pack_size(opened: Study, worker: Equipped, seen: progress.Listener) -> int:
    """The study file's, or the one that this runner measured when it began: a resumed study keeps it."""
    asked = opened.spec.pack.size
    if asked != "auto":
        return asked
    key = f"{_PACK_SIZE}/{opened.leases.name}" if opened.memory.is_shared else _PACK_SIZE
    recorded: int | None = opened.memory.recall(key)
    if recorded is None:
        seen.phase("measuring how many trials to train at a time")
        readings = worker.measure_pack()
        recorded = pack_size.choose(readings)
        opened.memory.remember(key, recorded)
        rates = ", ".join(f"{r.size}: {r.images_per_second:.3g}" for r in readings)
        seen.phase(f"a pack of {recorded} (images/s by size: {rates})")
    return recorded


def probed(opened: Study, worker: Equipped, seen: progress.Listener) -> Study:
    """The study around the learning rate that its probe finds when it begins, or has found."""
    if not opened.spec.probe.enabled:
        return opened

    def probe() -> None:
        if opened.memory.records():
            raise StudyError(
                "probe.enabled was set after this study began, and would change the range that its trials came "
                "from; unset it, or start a new study under another name."
            )
        seen.phase("probing the learning rate")
        opened.memory.remember(REMEMBERED, worker.probe().model_dump(mode="json"))

    opened.leases.once("probe", lambda: opened.memory.recall(REMEMBERED) is not None, probe)
    result = remembered(opened.memory)
    assert result is not None
    spec = as_remembered(opened.spec, opened.memory)
    if result.settled is not None:
        chosen = spec.search.space[FIELD]
        seen.phase(
            f"the probe's learning rate is {result.settled:.3g}: {FIELD} is searched from {chosen['low']:g} to "
            f"{chosen['high']:g}"
        )
    else:
        seen.phase(f"the probe found no plateau: {FIELD} is searched in the study file's range")
    return replace(opened, spec=spec)


def _watch(opened: Study, console: Console, log: bool) -> progress.LineLog | progress.Bars:
    if log or not sys.stdout.isatty():
        return progress.LineLog(console)
    budget = opened.spec.budget
    images = budget.images or (budget.trials or 0) * budget.images_per_trial
    return progress.Bars(console, budget.trials, images)
