from __future__ import annotations

import json
from typing import Any

import pytest

from search.parameter import Choice, Real
from search.trial import Point, State, TrialRecord
from studies.report import search_plots, trial_plots

WINNER = {"trial": 0, "epoch": 2}


def record(number: int, state: State, means: list[float], **values: Any) -> TrialRecord:
    cards = tuple(
        {
            "epoch": i,
            "images_seen": 100 * i,
            "objective": -mean,
            "rank": 4,
            "scores": {
                "validation": {"mean": mean, "standard_error": 0.01},
                "validation_by_timestep": [mean],
                "validation_by_image": [mean],
                "training": None,
                "clip_image": None,
                "clip_text": None,
                "clip_image_value": None,
                "clip_text_value": None,
                "broken": 0,
                "renders": 0,
            },
        }
        for i, mean in enumerate(means, start=1)
    )
    curve = tuple(Point(card["images_seen"], card["objective"]) for card in cards)
    return TrialRecord(number, values, state, cards, curve)


def trace(figure: Any, name: str) -> Any:
    (found,) = [trace for trace in figure.data if trace.name == name]
    return found


@pytest.fixture
def records() -> list[TrialRecord]:
    return [
        record(0, "finished", [-0.1, -0.2, -0.18], rate=1e-3),
        record(1, "pruned", [-0.05], rate=1e-4),
        record(2, "infeasible", [], rate=1e-2),
        record(3, "infeasible", [4.0], rate=5e-3),
    ]


def test_curves_start_at_the_base_model(records: list[TrialRecord]) -> None:
    line = trace(trial_plots.curves(records, WINNER), "trial 0")
    assert list(line.x) == [0, 100, 200, 300]
    assert list(line.y) == [0, -0.1, -0.2, -0.18]


def test_only_the_winner_has_error_bars(records: list[TrialRecord]) -> None:
    figure = trial_plots.curves(records, WINNER)
    assert list(trace(figure, "trial 0").error_y.array) == [0, 0.01, 0.01, 0.01]
    assert trace(figure, "trial 1").error_y.array is None


def test_crosses_stand_where_trials_were_stopped(records: list[TrialRecord]) -> None:
    figure = trial_plots.curves(records, WINNER)
    assert list(trace(figure, "pruned").x) == [100]
    assert list(trace(figure, "infeasible").text) == ["trial 3"]
    assert list(trace(figure, "chosen checkpoint").y) == [-0.2]


def test_a_diverged_trial_does_not_flatten_the_others(records: list[TrialRecord]) -> None:
    low, high = trial_plots.curves(records, WINNER).layout.yaxis.range
    assert low < -0.2
    assert 0 < high < 0.3


def test_where_nothing_beats_the_base_model_all_is_shown() -> None:
    worse = [record(0, "finished", [0.1, 0.4]), record(1, "finished", [0.2, 0.9])]
    low, high = trial_plots.curves(worse, WINNER).layout.yaxis.range
    assert low < 0
    assert high > 0.9


def test_training_gap_needs_training_images(records: list[TrialRecord]) -> None:
    assert trial_plots.training_gap(records[0], WINNER) is None


def test_slices_put_trials_without_a_score_aside(records: list[TrialRecord]) -> None:
    figure = search_plots.slices(records, "rate", Real(low=1e-5, high=1e-1, log=True), winner=0)
    assert figure.layout.xaxis.type == "log"
    assert sum(len(trace.x) for trace in figure.data) == 3
    assert list(trace(figure, "winner").y) == [0.2]
    assert search_plots.slices(records[:1], "rate", Real(low=1e-5, high=1e-1), winner=0) is None


def test_choices_are_categories_and_their_words_are_escaped() -> None:
    records = [record(i, "finished", [-0.1], kind=kind) for i, kind in enumerate(["<b>x</b>", "y"])]
    figure = search_plots.slices(records, "kind", Choice(choices=("<b>x</b>", "y")), winner=0)
    assert figure.layout.xaxis.type == "category"
    assert "<b>" not in json.dumps(figure.to_plotly_json(), default=str)


def test_importance_puts_the_largest_share_on_top() -> None:
    (bars,) = search_plots.importance({"rate": 0.8, "rank": 0.2}).data
    assert list(bars.y) == ["rank", "rate"]
    assert list(bars.text) == ["20%", "80%"]


def test_timesteps_span_the_schedule() -> None:
    (bars,) = trial_plots.timesteps([-0.1, -0.2, 0.1, -0.1]).data
    assert list(bars.x) == [12.5, 37.5, 62.5, 87.5]
