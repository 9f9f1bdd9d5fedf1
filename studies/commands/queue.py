"""Studies one after another, each in a process of its own, so that none can end the others."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from studies.errors import StudyError
from studies.selection import document
from studies.spec import study_file
from studies.workspace import Workspace, default_root

State = Literal["finished", "failed", "interrupted", "not begun"]
INTERRUPTED = 130
"""Exit code of a study that was interrupted."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one study."""

    file: Path
    state: State
    seconds: float = 0.0
    name: str = ""
    """Empty where the file cannot be read."""
    winner: str = ""
    best: Path | None = None


def study_files(places: Iterable[Path]) -> list[Path]:
    """The study files that are named, and those in folders that are named, by name; each once.

    Raises:
        StudyError: with every place that is none and holds none.
    """
    problems, found = [], list[Path]()
    for place in places:
        if place.is_dir():
            inside = sorted(place.glob("*.toml"))
            found += inside
            if not inside:
                problems.append(f"{place}: this folder holds no study file (*.toml).")
        elif place.is_file():
            found.append(place)
        else:
            problems.append(f"{place}: there is no such study file or folder.")
    if problems:
        raise StudyError(problems)
    return list(dict.fromkeys(found))


def run_all(files: Sequence[Path], words: Sequence[str], told: Callable[[str], None]) -> Iterator[Outcome]:
    """Runs each in turn; after an interruption the rest is not begun.

    Args:
        files: study files.
        words: further words of ``lorasearch run`` for each.
        told: is told which begins.
    """
    stopped = False
    for number, file in enumerate(files, start=1):
        if stopped:
            yield Outcome(file, "not begun", name=_name(file))
            continue
        told(f"{number} of {len(files)}: {file}")
        began = time.monotonic()
        code = _run(file, words)
        stopped = code == INTERRUPTED
        yield _outcome(file, code, time.monotonic() - began)


def _run(file: Path, words: Sequence[str]) -> int:
    """The exit code of one study; an interruption reaches it by itself, and is waited for."""
    process = subprocess.Popen([sys.executable, "-m", "studies.cli.main", "run", str(file), *words])
    interrupted = False
    while True:
        try:
            code = process.wait()
            return INTERRUPTED if interrupted else code
        except KeyboardInterrupt:
            interrupted = True


def _outcome(file: Path, code: int, seconds: float) -> Outcome:
    if code == INTERRUPTED:
        return Outcome(file, "interrupted", seconds, _name(file))
    name = _name(file)
    if code or not name:
        return Outcome(file, "failed", seconds, name)
    workspace = Workspace(default_root(name))
    selection = document.read(workspace)
    winner = f"trial {selection.winner.trial}, epoch {selection.winner.epoch}" if selection else ""
    return Outcome(file, "finished", seconds, name, winner, workspace.best)


def _name(file: Path) -> str:
    try:
        return study_file.load(file).study.name
    except StudyError:
        return ""
