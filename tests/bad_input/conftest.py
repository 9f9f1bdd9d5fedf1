from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tests.bad_input.scene import Scene, Words, prepare
from tests.command_line import called
from tests.studies.invented import invent


@pytest.fixture(scope="session")
def finished_workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its database has nothing left to be written ahead, so that reading does not change its file."""
    found = invent(tmp_path_factory.mktemp("finished"), trials=3, clip=False).workspace
    with closing(sqlite3.connect(found.database)) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return found.root


@pytest.fixture
def scene(tmp_path: Path, finished_workspace: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "160")
    return prepare(tmp_path, finished_workspace)


@pytest.fixture
def outcome(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[[Words], tuple[int, str, str]]:
    """Exit code, standard output and standard error of a command line."""
    return lambda words: called(words, monkeypatch, capsys)
