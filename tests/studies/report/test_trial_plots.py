from __future__ import annotations

import json
import math
from typing import Any

import pytest

from search.parameter import Choice, Real
from studies.report import search_plots, trial_plots
from studies.selection.document import Key
from studies.selection.selection import Selector
from studies.study.trial import Origin, Trial
from tests.studies.made import card, checkpoint, trial
from tests.studies.report.test_choice import by_rule

WINNER = Key(trial=0, epoch=2)


def trace(figure: Any, name: str) -> Any:
    (found,) = [trace for trace in figure.data if trace.name == name]
    return found


@pytest.fixture
def trials() -> list[Trial]:
    return [
        trial(0, "finished", [-0.1, -0.2, -0.18], rate=1e-3),
        trial(1, "pruned", [-0.05], rate=1e-4),
        trial(2, "infeasible", [], rate=1e-2),
        trial(3, "infeasible", [4.0], rate=5e-3),
    ]


def test_curves_start_at_the_base_model(trials: list[Trial]) -> None:
    line = trace(trial_plots.curves(trials, WINNER), "trial 0")
    assert list(line.x) == [0, 100, 200, 300]
    assert list(line.y) == [0, -0.1, -0.2, -0.18]


def test_only_the_winner_has_error_bars(trials: list[Trial]) -> None:
    figure = trial_plots.curves(trials, WINNER)
    assert list(trace(figure, "trial 0").error_y.array) == [0, 0.01, 0.01, 0.01]
    assert trace(figure, "trial 1").error_y.array is None


def test_crosses_stand_where_trials_were_stopped(trials: list[Trial]) -> None:
    figure = trial_plots.curves(trials, WINNER)
    assert list(trace(figure, "pruned").x) == [100]
    assert list(trace(figure, "infeasible").text) == ["trial 3"]
    assert list(trace(figure, "chosen checkpoint").y) == [-0.2]


def test_a_diverged_trial_does_not_flatten_the_others(trials: list[Trial]) -> None:
    low, high = trial_plots.curves(trials, WINNER).layout.yaxis.range
    assert low < -0.2
    assert 0 < high < 0.3


def test_where_nothing_beats_the_base_model_all_is_shown() -> None:
    worse = [trial(0, "finished", [0.1, 0.4]), trial(1, "finished", [0.2, 0.9])]
    low, high = trial_plots.curves(worse, WINNER).layout.yaxis.range
    assert low < 0
    assert high > 0.9


def test_training_gap_needs_training_images(trials: list[Trial]) -> None:
    assert trial_plots.training_gap(trials[0], WINNER) is None


def test_slices_put_trials_without_a_score_aside(trials: list[Trial]) -> None:
    figure = search_plots.slices(trials, "rate", Real(low=1e-5, high=1e-1, log=True), winner=0)
    assert figure.layout.xaxis.type == "log"
    assert sum(len(trace.x) for trace in figure.data) == 3
    assert list(trace(figure, "winner").y) == [0.2]
    assert search_plots.slices(trials[:1], "rate", Real(low=1e-5, high=1e-1), winner=0) is None


def test_choices_are_categories_and_their_words_are_escaped() -> None:
    trials = [trial(i, "finished", [-0.1], kind=kind) for i, kind in enumerate(["<b>x</b>", "y"])]
    figure = search_plots.slices(trials, "kind", Choice(choices=("<b>x</b>", "y")), winner=0)
    assert figure.layout.xaxis.type == "category"
    assert "<b>" not in json.dumps(figure.to_plotly_json(), default=str)


def test_importance_puts_the_largest_share_on_top() -> None:
    (bars,) = search_plots.importance({"rate": 0.8, "rank": 0.2}).data
    assert list(bars.y) == ["rank", "rate"]
    assert list(bars.text) == ["20%", "80%"]


def test_timesteps_span_the_schedule() -> None:
    (bars,) = trial_plots.timesteps([-0.1, -0.2, 0.1, -0.1]).data
    assert list(bars.x) == [12.5, 37.5, 62.5, 87.5]


def test_the_curve_of_a_run_has_its_files_at_their_epochs_and_the_chosen_one_marked() -> None:
    errors = (0.0, 0.01, math.inf)
    found = [
        checkpoint(i, epoch, card(mean, error), origin=Origin(run="a", label=str(epoch), unit="epoch"))
        for i, (epoch, mean, error) in enumerate(zip((1, 2, 5), (-0.1, -0.3, -0.2), errors, strict=True))
    ]
    selection = Selector("a", 0, 3, by_rule(), found).provisional()
    line, star = trial_plots.run_curve(selection, "a").data
    assert (list(line.x), list(line.y)) == ([1, 2, 5], [-0.1, -0.3, -0.2])
    assert list(line.error_y.array) == [0.0, 0.01, 0.0]
    assert (list(star.x), list(star.y)) == ([2], [-0.3])
    assert trial_plots.run_curve(selection, "b") is None
