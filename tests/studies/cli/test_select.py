from __future__ import annotations

import json

from tests.studies.cli.conftest import Run
from tests.studies.invented import Invented


def test_shows_winner_reason_and_finalists(finished: Invented, run: Run) -> None:
    winner = finished.verdict["winner"]
    code, out, _ = run("select", finished.workspace.root)
    assert code == 0
    assert out.startswith(f"Winner: trial {winner['trial']}, epoch {winner['epoch']}")
    assert winner["reason"] in out
    assert out.count(" -> ") == 1 + len(finished.verdict["confirmation"]["finalists"])
    assert str(finished.workspace.best) in out


def test_json_is_selection_json(finished: Invented, run: Run) -> None:
    _, out, _ = run("select", finished.workspace.root, "--json")
    assert json.loads(out) == json.loads(finished.workspace.selection.read_text())


def test_choice_of_an_unfinished_study_is_provisional(unfinished: Invented, run: Run) -> None:
    _, out, _ = run("select", unfinished.workspace.root)
    assert out.startswith("Leader so far: ")
    assert "not yet confirmed" in out
    assert json.loads(run("select", unfinished.workspace.root, "--json")[1])["confirmation"] is None
