from __future__ import annotations

import json

from studies.report.choice import baselines, reason
from tests.studies.cli.conftest import Run
from tests.studies.invented import Invented


def test_shows_winner_reason_and_finalists(finished: Invented, run: Run) -> None:
    winner = finished.selection.winner
    code, out, _ = run("select", finished.workspace.root)
    assert code == 0
    title = f"Winner: trial {winner.trial}, epoch {winner.epoch}"
    assert out.startswith(f"{finished.selection.summary}\n{title}")
    assert all(line in out for line in baselines(finished.selection))
    assert reason(finished.selection) in out
    assert out.count(" -> ") == 1 + len(finished.selection.finalists)
    assert str(finished.workspace.best) in out


def test_json_is_selection_json(finished: Invented, run: Run) -> None:
    _, out, _ = run("select", finished.workspace.root, "--json")
    assert json.loads(out) == json.loads(finished.workspace.selection.read_text())


def test_choice_of_an_unfinished_study_is_provisional(unfinished: Invented, run: Run) -> None:
    _, out, _ = run("select", unfinished.workspace.root)
    assert out.startswith("Leader so far: ")
    assert "not yet confirmed" in out
    assert json.loads(run("select", unfinished.workspace.root, "--json")[1])["confirmation"] is None


def test_other_weights_choose_again_and_change_nothing(finished: Invented, run: Run) -> None:
    before = finished.workspace.selection.read_bytes()
    code, out, _ = run("select", finished.workspace.root, "--weights", "clip_image=1", "--json")
    assert code == 0
    chosen = json.loads(out)
    rises = {
        (c["trial"], c["epoch"]): c["scores"]["metrics"]["clip_image"]["difference"]
        for c in chosen["candidates"]
    }
    best = max(rises.values(), key=lambda rise: rise["mean"])
    winner = rises[chosen["winner"]["trial"], chosen["winner"]["epoch"]]
    assert winner["mean"] >= best["mean"] - 2 * best["standard_error"]
    assert chosen["confirmation"] is None
    assert finished.workspace.selection.read_bytes() == before


def test_the_front_holds_the_best_in_each_metric(finished: Invented, run: Run) -> None:
    chosen = json.loads(
        run("select", finished.workspace.root, "--weights", "validation=1,clip_image=1", "--json")[1]
    )
    front = {(c["trial"], c["epoch"]) for c in chosen["pareto"]}
    scores = {(c["trial"], c["epoch"]): c["scores"]["metrics"] for c in chosen["candidates"]}
    assert min(scores, key=lambda key: scores[key]["validation"]["difference"]["mean"]) in front
    assert max(scores, key=lambda key: scores[key]["clip_image"]["difference"]["mean"]) in front


def test_wrong_weights_are_told(finished: Invented, run: Run) -> None:
    assert "no METRIC=NUMBER" in run("select", finished.workspace.root, "--weights", "validation")[2]
    assert "Unknown metric 'clip'" in run("select", finished.workspace.root, "--weights", "clip=1")[2]
