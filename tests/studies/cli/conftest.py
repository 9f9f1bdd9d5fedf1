from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.command_line import called
from tests.studies.invented import Invented, invent

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="package")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Invented:
    return invent(tmp_path_factory.mktemp("finished"))


@pytest.fixture(scope="package")
def unfinished(tmp_path_factory: pytest.TempPathFactory) -> Invented:
    return invent(tmp_path_factory.mktemp("unfinished"), trials=4, clip=False, finished=False)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs the command line as a shell does: exit code, standard output, standard error."""

    def call(*words: object) -> tuple[int, str, str]:
        monkeypatch.setenv("COLUMNS", "160")
        return called(words, monkeypatch, capsys)

    return call
