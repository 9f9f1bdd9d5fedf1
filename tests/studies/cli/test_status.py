from __future__ import annotations

import json

from tests.studies.cli.conftest import Run
from tests.studies.invented import Invented


def test_table_shows_states_best_and_budget(finished: Invented, run: Run) -> None:
    code, out, _ = run("status", finished.workspace.root)
    assert code == 0
    assert "2 finished, 2 pruned, 1 infeasible; 16 checkpoints scored." in out
    assert "the loss became nan after 17 images" in " ".join(out.split())
    assert "Budget left: 0 of 5 trials." in out
    assert "The verdict stands" in out


def test_unfinished_study_says_so(unfinished: Invented, run: Run) -> None:
    _, out, _ = run("status", unfinished.workspace.root)
    assert "running" in out
    assert "No verdict yet" in out


def test_json_is_one_object(finished: Invented, run: Run) -> None:
    _, out, _ = run("status", finished.workspace.root, "--json")
    found = json.loads(out)
    assert found["study"] == "invented"
    assert found["states"] == {"finished": 2, "pruned": 2, "infeasible": 1}
    assert [trial["number"] for trial in found["trials"]] == [0, 1, 2, 3, 4]
    assert found["best"]["objective"] == max(t["objective"] for t in found["trials"] if t["objective"])
    assert found["budget"] == {"trials": {"limit": 5, "spent": 5, "left": 0}}
