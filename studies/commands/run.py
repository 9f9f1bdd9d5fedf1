"""Runs a study file from start to report in this process."""

from __future__ import annotations

import time
from pathlib import Path

from rich.console import Console

from studies.commands.reporting import report
from studies.engines.choice import INLINE, EngineChoice
from studies.errors import in_sentences, quiet
from studies.report.summary import summary
from studies.runner.listeners import listening
from studies.runner.run import run_study
from studies.study.beginning import running
from studies.study.run_times import RunTimes
from studies.study.storage import resumable
from studies.text.terminal import plain
from trainer.files import waiting_for_room


def launch(
    path: Path,
    root: Path | None,
    log: bool,
    tensorboard: bool = False,
    storage: str | None = None,
    runner: str | None = None,
    engine: EngineChoice = INLINE,
    cache: Path | None = None,
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
        cache: folder of encoded images; None takes the workspace's own.

    Raises:
        StudyError: with what is wrong and what to do.
    """
    engine.check()
    quiet()
    began = time.monotonic()
    console = Console(stderr=False)

    def told(text: str) -> None:
        console.print(f"note: {text}", markup=False)

    with resumable(), waiting_for_room(told), running(path, root, storage, runner, told, cache) as study:
        for note in study.dataset.warnings:
            console.print(plain(f"note: {note}"), markup=False)
        with listening(study, console, log, tensorboard) as listener, in_sentences(), resumable():
            selection = run_study(study, engine, listener, began, report)
        times = RunTimes.of(study.memory)
        console.print(summary(study, selection, times), markup=False, highlight=False, soft_wrap=True)
