"""Interrupted studies, for real: SIGKILL to the process that runs them."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from pathlib import Path

import pytest

from benchmarks import chaos
from benchmarks.chaos import run as start
from studies.study.beginning import reopen


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


@pytest.fixture
def undisturbed_and_killed(small_study, tmp_path: Path) -> tuple[Path, Path]:
    study_file = small_study(trials=5)
    undisturbed, killed = tmp_path / "undisturbed", tmp_path / "killed"
    assert start(study_file, undisturbed).wait() == 0
    for count in (2, 6):
        kill_after(start(study_file, killed), killed, count)
    assert start(study_file, killed).wait() == 0
    return undisturbed, killed


def test_a_study_killed_twice_loses_nothing_and_selects_the_same(undisturbed_and_killed):
    undisturbed, killed = undisturbed_and_killed
    records = {path: reopen(path).memory.records() for path in (undisturbed, killed)}
    for record, other in zip(records[undisturbed], records[killed], strict=True):
        assert record.values == other.values
        assert record.state == other.state == "finished"
        assert [card["epoch"] for card in record.cards] == [card["epoch"] for card in other.cards]
    selections = [json.loads((path / "selection.json").read_text()) for path in (undisturbed, killed)]
    chosen = [(s["winner"]["trial"], s["winner"]["epoch"]) for s in selections]
    assert chosen[0] == chosen[1]
    assert chaos.worst_apart(killed, len(records[killed])) < chaos.TOLERANCE
