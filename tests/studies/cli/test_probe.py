"""What ``lorasearch probe`` says and writes; the probe itself is tested in tests/trainer/training/test_probe.py."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from search.memory import Memory
from studies.commands import probe as probe_run
from studies.study import beginning
from studies.study.probe import REMEMBERED
from tests.studies.cli.conftest import Run
from tests.studies.conftest import write_study
from trainer.training.probe import Course, Plateau, Probe

FLAT = Probe(tuple(Course((1e-6, rate, rate), Plateau(rate, 3, True), None) for rate in (1e-3, 4e-3)))
RISING = Probe((Course((1e-6, 2e-6), Plateau(2e-6, 2, False), None),))


@pytest.fixture
def study_file(tmp_path: Path) -> Path:
    return write_study(tmp_path)


@pytest.fixture
def finds(monkeypatch: pytest.MonkeyPatch) -> Callable[[Probe], None]:
    return lambda found: monkeypatch.setattr(probe_run, "run_probe", lambda *_: found)


def test_a_plateau_is_told_with_its_rule_and_its_rates(
    study_file: Path, run: Run, finds: Callable[[Probe], None]
) -> None:
    finds(FLAT)
    before = study_file.read_bytes()
    code, out, err = run("probe", study_file)
    assert (code, err) == (0, "")
    for words in (
        "d * lr over 3 optimiser steps",
        "grown by at most 5% over 100 optimiser steps and is at least 10 times its first value",
        "the geometric mean of the plateaus divided by 4",
        "Plateau: 0.002, the geometric mean of 2 repetitions.",
        "AdamW and AdamW8bit 0.0005; Lion 0.000167",
        "The study's range, 0.0001 to 0.03, holds the probe's rate, 28% of the way up",
    ):
        assert words in out
    assert study_file.read_bytes() == before
    facts = json.loads(run("probe", study_file, "--json")[1])
    assert facts["flat"]
    assert facts["learning_rates"] == pytest.approx({"adamw8bit": 5e-4, "lion": 5e-4 / 3})


def test_write_centres_the_range_and_leaves_all_else(
    study_file: Path, run: Run, finds: Callable[[Probe], None]
) -> None:
    finds(FLAT)
    before = study_file.read_text()
    code, out, _ = run("probe", study_file, "--write")
    assert code == 0
    assert "{ low = 0.0001, high = 0.0025, log = true }" in out
    assert study_file.read_text() == before.replace("low = 1e-4, high = 3e-2", "low = 0.0001, high = 0.0025")


def test_not_flat_yet_is_told_with_what_to_do_and_nothing_is_written(
    study_file: Path, run: Run, finds: Callable[[Probe], None]
) -> None:
    finds(RISING)
    before = study_file.read_bytes()
    code, out, err = run("probe", study_file, "--steps", 200, "--write")
    assert code == 2
    assert "Not flat yet after 200 steps" in out
    assert "--steps 400" in out
    assert "nothing was written" in err
    assert study_file.read_bytes() == before
    assert run("probe", study_file)[0] == 0


def test_a_line_that_cannot_be_edited_is_printed_for_pasting(
    study_file: Path, run: Run, finds: Callable[[Probe], None]
) -> None:
    finds(FLAT)
    text = study_file.read_text().replace(
        "{ low = 1e-4, high = 3e-2, log = true }", "{ choices = [1e-4, 1e-3] }"
    )
    study_file.write_text(text)
    code, _, err = run("probe", study_file, "--write")
    assert code == 2
    assert 'by hand: "optimiser.unet_lr" = { low = 0.0001, high = 0.0025, log = true }' in err
    assert study_file.read_text() == text


def test_a_real_probe_takes_its_steps(study_file: Path, run: Run) -> None:
    before = sorted(study_file.parent.rglob("*"))
    code, out, err = run("probe", study_file, "--steps", 3)
    assert (code, err) == (0, "")
    assert out.count("not flat after 3 steps") == 3
    assert sorted(study_file.parent.rglob("*")) == before


def test_a_study_that_asks_for_it_begins_with_a_probe_once(
    study_file: Path, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from studies.study import probe

    called: list[int] = []

    def follow(*_: Any) -> Probe:
        called.append(1)
        return FLAT

    monkeypatch.setattr(probe, "follow", follow)
    study_file.write_text(
        study_file.read_text().replace("trials = 4", "trials = 1") + "[probe]\nenabled = true\n"
    )
    root = tmp_path / "workspace"
    for _ in range(2):
        code, out, err = run("run", study_file, "--workspace", root)
        assert (code, err) == (0, "")
        assert "learning rate is 0.0005: optimiser.unet_lr is searched from 0.0001 to 0.0025" in out
    assert called == [1]
    opened = beginning.reopen(root)
    space = opened.spec.search.space["optimiser.unet_lr"]
    assert (space["low"], space["high"]) == (1e-4, 2.5e-3)
    (record,) = opened.memory.records()
    assert float(record.values["optimiser.unet_lr"]) == 5e-4, "the probed recipe comes first"


def test_a_probe_that_is_asked_for_too_late_is_refused(study_file: Path, run: Run, tmp_path: Path) -> None:
    root = tmp_path / "workspace"
    opened = beginning.begin(study_file, root)
    assert isinstance(opened.memory, Memory)
    assert opened.memory.recall(REMEMBERED) is None
    opened.memory.begin()
    study_file.write_text(study_file.read_text() + "[probe]\nenabled = true\n")
    code, _, err = run("run", study_file, "--workspace", root)
    assert code == 2
    assert "probe.enabled was set after this study began" in err
