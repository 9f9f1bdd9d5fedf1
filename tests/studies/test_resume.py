"""Interrupted studies, for real: SIGKILL to the process that runs them."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from studies.planning import Planner
from studies.study import reopen
from trainer import base_model
from trainer.data.caches import TensorCache
from trainer.data.dataset import Encoded
from trainer.lora_file import slot_keys
from trainer.outcome import EpochEnd
from trainer.pack import Pack


def start(
    study_file: Path, workspace: Path, stdout: int = subprocess.DEVNULL, stderr: int | None = None
) -> subprocess.Popen[bytes]:
    command = [
        sys.executable,
        "-m",
        "studies.cli.main",
        "run",
        str(study_file),
        "--workspace",
        str(workspace),
    ]
    return subprocess.Popen(command, stdout=stdout, stderr=stderr)


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
    everything_equals_its_plan_alone(killed)


def everything_equals_its_plan_alone(workspace: Path) -> None:
    """Every checkpoint is what a pack of one trains from the trial's plan, to fp16 rounding."""
    study = reopen(workspace)
    planner = Planner(study.spec, study.dataset, study.seed)
    base = base_model.load(planner.plan({}).base.path)
    pack = Pack(
        base, Encoded(study.dataset, base, TensorCache(workspace / "cache")), 1, planner.plan({}).compute
    )
    for record in study.memory.records():
        run = pack.admit(record.number, planner.plan(record.values))
        while not run.finished:
            for event in pack.step():
                assert isinstance(event, EpochEnd)
                alone = slot_keys(pack.bank, run.slot, base.kohya_names)
                stored = load_file(study.workspace.lora(record.number, event.epoch))
                assert stored.keys() == alone.keys()
                for factor in ("lora_down", "lora_up"):
                    assert distance(stored, alone, factor) < 5e-3
        pack.evict(record.number)


def distance(stored: dict[str, torch.Tensor], alone: dict[str, torch.Tensor], factor: str) -> float:
    """Relative 2-norm of the difference over all layers.

    Files are in fp16 (relative error 5e-4), and an update by sign can turn at a gradient of zero.
    """
    pairs = [(stored[name].float().flatten(), alone[name].flatten()) for name in alone if factor in name]
    here, there = (torch.cat(parts) for parts in zip(*pairs, strict=True))
    return float((here - there).norm() / there.norm())
