from __future__ import annotations

import io
import json

import pytest

from tests.studies import made
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


def test_watching_a_study_that_has_ended_shows_it_once(finished: Invented, run: Run) -> None:
    code, out, _ = run("status", finished.workspace.root, "--watch")
    assert code == 0
    assert out.count("16 checkpoints scored.") == 1 and out.endswith(
        "The verdict stands: see `lorasearch select`.\n"
    )


def test_watching_goes_on_until_the_verdict(
    unfinished: Invented, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:

    from studies.commands import status as command
    from studies.study.open import ReadOnlyStudy

    looks, real = [0], command.status

    def status(study: ReadOnlyStudy) -> command.Status:
        looks[0] += 1
        known = {"ended": looks[0] == 4, "checkpoints": 10 + looks[0] // 2}
        return real(study).model_copy(update=known)

    monkeypatch.setattr("studies.commands.status.status", status)
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    code, out, _ = run("status", unfinished.workspace.root, "--watch", "--json")
    assert code == 0 and looks[0] == 4
    told = [json.loads(line)["checkpoints"] for line in out.splitlines()]
    assert told == [10, 11, 12], "a line where something has changed"


def test_the_live_page_shows_what_runs_and_the_best(unfinished: Invented) -> None:
    from rich.console import Console

    from studies.cli.status import MOST_ROWS, _foremost, _page
    from studies.commands.status import status, trial_status
    from studies.study.open import open_readonly

    found = status(open_readonly(unfinished.workspace.root))
    console = Console(width=150, record=True, file=io.StringIO())
    console.print(_page(found, console))
    text = console.export_text()
    assert "running" in text and "Best so far" in text and "Budget left" in text
    many = [trial_status(made.trial(n, "finished", [float(n)])) for n in range(40)]
    many[30] = trial_status(made.trial(30, "running", []))
    kept = [trial.number for trial in _foremost(many)]
    assert kept == [*range(MOST_ROWS - 1), 30]


def test_a_narrow_terminal_has_a_line_a_trial_and_the_best_ones_parameters(finished: Invented) -> None:
    from rich.console import Console

    from studies.cli.status import _page
    from studies.commands.status import status
    from studies.study.open import open_readonly

    found = status(open_readonly(finished.workspace.root))
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(_page(found, console))
    lines = [line for line in console.export_text().splitlines() if line.strip()]
    rows = [line for line in lines if line.split()[0].isdigit()]
    assert len(rows) == len(found.trials) == 5
    name = next(iter(found.best.params)).rsplit(".", 1)[-1]
    assert sum(f"{name} " in line for line in lines) == 1
