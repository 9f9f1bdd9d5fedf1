"""Interrupted studies, for real: SIGKILL to the process that runs them."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest

from benchmarks import chaos
from benchmarks.chaos import run as start
from studies.study.beginning import reopen
from tests.studies.conftest import write_study


def checkpoints(workspace: Path) -> list[Path]:
    return sorted(workspace.glob("trials/*/trial-*.safetensors"))


def kill_after(process: subprocess.Popen[bytes], workspace: Path, count: int) -> None:
    """Kills the process as soon as it has written so many checkpoints."""
    deadline = time.monotonic() + 120
    while len(checkpoints(workspace)) < count and process.poll() is None:
        assert time.monotonic() < deadline, "no checkpoint was written"
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The workspace of a study that nobody killed; its study file lies beside it."""
    folder = tmp_path_factory.mktemp("undisturbed")
    assert start(write_study(folder), folder / "workspace").wait() == 0
    return folder / "workspace"


def test_a_study_killed_twice_loses_nothing_and_selects_the_same(undisturbed: Path, tmp_path: Path) -> None:
    study_file, killed = undisturbed.parent / "small.toml", tmp_path / "killed"
    for count in (2, 6):
        kill_after(start(study_file, killed), killed, count)
    assert start(study_file, killed).wait() == 0
    records = {path: reopen(path).memory.records() for path in (undisturbed, killed)}
    for record, other in zip(records[undisturbed], records[killed], strict=True):
        assert record.values == other.values
        assert record.state == other.state == "finished"
        assert [card["epoch"] for card in record.cards] == [card["epoch"] for card in other.cards]
    selections = [json.loads((path / "selection.json").read_text()) for path in (undisturbed, killed)]
    chosen = [(s["winner"]["trial"], s["winner"]["epoch"]) for s in selections]
    assert chosen[0] == chosen[1]
    assert chaos.worst_apart(killed, len(records[killed])) < chaos.TOLERANCE


def test_five_kills_lose_nothing_break_nothing_and_change_nothing(undisturbed: Path, tmp_path: Path) -> None:
    """The short form of ``benchmarks/chaos.py``: kills at random moments."""
    killed = tmp_path / "killed"
    toll = chaos.disturbed(undisturbed.parent / "small.toml", killed, 5, 12.0, random.Random(3))
    assert toll == chaos.Toll(toll.kills, lost=0, corrupt=0)
    assert toll.kills > 0
    found = chaos.compared(undisturbed, killed)
    assert found.same
    assert found.within
    assert found.moved is not None
    assert found.moved < 0.1
    assert chaos.worst_apart(killed, 1) < chaos.TOLERANCE


def test_a_torn_file_is_found(tmp_path: Path) -> None:
    for name, data in (
        ("a.safetensors", b"\x08\0\0\0\0\0\0\0{}"),
        ("b.json", b'{"a":'),
        ("c.png", b"\x89PNG"),
    ):
        (tmp_path / name).write_bytes(data)
    (tmp_path / ".d.json.part").write_bytes(b"{")
    assert {path.name for path in chaos.broken(tmp_path)} == {"a.safetensors", "b.json", "c.png"}
