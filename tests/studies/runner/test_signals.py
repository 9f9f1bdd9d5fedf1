"""Signals, for real: sent to the process that runs a study."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from benchmarks.chaos import run as start
from studies.runner.signals import NOTED, at_signals
from studies.study.beginning import reopen
from tests.studies.scenarios.test_resume import checkpoints


def begun(study_file: Path, workspace: Path, count: int = 1) -> subprocess.Popen[bytes]:
    """A run that has written so many checkpoints."""
    process = start(study_file, workspace, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 120
    while len(checkpoints(workspace)) < count:
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    return process


def test_the_first_signal_ends_every_trial_with_its_epoch(small_study, tmp_path: Path) -> None:
    study_file, workspace = small_study(trials=2), tmp_path / "ws"
    process = begun(study_file, workspace)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert NOTED.strip() in said and b"run the same command again to go on" in said
    records = reopen(workspace).memory.records()
    running = [record for record in records if record.state == "running"]
    for record in running:
        folder = workspace / "trials" / f"{record.number:04d}"
        stored = {card["file"] for card in record.cards}
        assert len(list(folder.glob("trial-*.safetensors"))) == len(stored), "no epoch is half judged"
    assert start(study_file, workspace).wait() == 0
    after = reopen(workspace).memory.records()
    assert [record.values for record in after[: len(records)]] == [record.values for record in records]
    assert {record.state for record in after} == {"finished"}


def test_the_second_signal_ends_the_run_at_once(small_study, tmp_path: Path) -> None:
    process = begun(small_study(trials=3), tmp_path / "ws")
    process.send_signal(signal.SIGINT)
    while NOTED.strip() not in os.read(process.stderr.fileno(), 4096):  # type: ignore[union-attr]
        pass
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=20) == 130


def test_outside_the_main_thread_and_after_the_block_signals_are_left_alone() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with at_signals() as stop:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.01)
        assert stop.asked
        with pytest.raises(KeyboardInterrupt):
            _interrupt()
    assert signal.getsignal(signal.SIGTERM) == before


def _interrupt() -> None:
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(1)
