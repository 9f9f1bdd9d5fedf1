"""``lorasearch compare``."""

from __future__ import annotations

import json

from tests.studies.cli.conftest import Run
from tests.studies.invented import Invented


def test_studies_stand_side_by_side(finished: Invented, unfinished: Invented, run: Run) -> None:
    code, out, err = run("compare", finished.workspace.root, unfinished.workspace.root)
    assert (code, err) == (0, "")
    assert "budget.trials" in out and "test: validation loss" in out
    assert "Their scores cannot be compared: judged differently: judge.clip." in out


def test_equal_studies_are_within_the_noise(finished: Invented, run: Run) -> None:
    code, out, _ = run("compare", finished.workspace.root, finished.workspace.root, "--json")
    found = json.loads(out)
    assert code == 0 and found["comparable"] and found["differences"] == {}
    (pair,) = found["pairs"]
    assert not any(lead["beyond_noise"] for lead in pair["metrics"].values())
    assert "within the noise" in run("compare", finished.workspace.root, finished.workspace.root)[1]


def test_one_study_alone_is_told(finished: Invented, run: Run) -> None:
    code, _, err = run("compare", finished.workspace.root)
    assert code == 2 and "at least two" in err
