from __future__ import annotations

import json

import pytest

from search.parameter import Choice, Integer, Real
from studies.report import search_plots
from studies.selection.document import Considered, Key
from studies.study.trial import Trial
from tests.studies.made import card, trial
from tests.studies.report.test_choice import candidate, selected
from tests.studies.report.test_trial_plots import trace

PARAMETERS = {
    "lora.rate": Real(low=1e-4, high=1e-2, log=True),
    "kind": Choice(choices=("<b>x</b>", "y", "z")),
    "rank": Integer(low=0, high=8),
}


@pytest.fixture
def trials() -> list[Trial]:
    return [
        trial(0, "finished", [-0.1, -0.2], **{"lora.rate": 1e-3, "kind": "y", "rank": 8}),
        trial(1, "pruned", [-0.1], **{"lora.rate": 1e-4, "kind": "<b>x</b>"}),
        trial(2, "infeasible", [], **{"lora.rate": 1e-2, "kind": "z", "rank": 0}),
    ]


def test_a_trial_is_a_line_through_its_values_to_its_best_objective(trials: list[Trial]) -> None:
    figure = search_plots.parallel(trials, PARAMETERS, winner=0)
    assert list(trace(figure, "trial 0").y) == pytest.approx([0.5, 0.5, 1.0, 1.0])
    assert [trace.name for trace in figure.data] == ["trial 1", "trial 0"]


def test_a_value_that_did_not_apply_leaves_its_post_out(trials: list[Trial]) -> None:
    figure = search_plots.parallel(trials, PARAMETERS, winner=0)
    assert list(trace(figure, "trial 1").y) == [0.0, 0.0, None, 0.0]


def test_posts_name_their_ends_and_choices_and_escape_them(trials: list[Trial]) -> None:
    figure = search_plots.parallel(trials, PARAMETERS, winner=0)
    marks = {(note.x, note.text): note.y for note in figure.layout.annotations}
    assert marks[0, "0.0001"] == 0 and marks[0, "0.01"] == 1
    assert marks[1, "&lt;b&gt;x&lt;/b&gt;"] == 0 and marks[1, "y"] == 0.5
    assert "<b>" not in json.dumps(figure.to_plotly_json(), default=str)
    assert list(figure.layout.xaxis.ticktext) == ["lora.<br>rate", "kind", "rank", "best objective"]


def test_one_trial_makes_no_parallel_plot(trials: list[Trial]) -> None:
    assert search_plots.parallel(trials[:1], PARAMETERS, winner=0) is None


def choice(trial: int, loss: float, clip: float | None) -> Considered:
    rises = {} if clip is None else {"clip_image": (clip, 0.01)}
    return Considered(
        trial=trial, epoch=1, images_seen=100, rank=4, file="x", scores=card(loss, **rises), objective=None
    )


def test_the_front_and_the_winner_are_marked_among_all_checkpoints() -> None:
    made = selected([candidate(1, 1, 1.0)])
    everyone = (choice(0, -0.2, 1.0), choice(1, -0.1, 3.0), choice(2, 0.0, 0.5), choice(3, 0.0, None))
    front = (Key(trial=0, epoch=1), Key(trial=1, epoch=1))
    selection = made.model_copy(update={"candidates": everyone, "pareto": front})
    figure = search_plots.pareto(selection, ["validation", "clip_image"])
    assert list(trace(figure, "Pareto front").x) == [-0.2, -0.1]
    assert list(trace(figure, "dominated").y) == [0.5]
    assert list(trace(figure, "chosen checkpoint").y) == [3.0]
    assert trace(figure, "chosen checkpoint").customdata[0][0] == "−0.1000 ± 0.0100"
    assert search_plots.pareto(selection, ["validation"]) is None
