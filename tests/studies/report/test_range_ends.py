from __future__ import annotations

from collections.abc import Sequence

from search.parameter import Choice, Real
from studies.report.range_ends import ends_hit
from studies.study.trial import Trial
from tests.studies.made import trial


def searched(rates: Sequence[float]) -> list[Trial]:
    """Trials whose objective is their learning rate."""
    return [trial(i, "finished", [-rate], lr=rate, kind="a") for i, rate in enumerate(rates)]


RATES = [1e-5 * 10 ** (3 * i / 11) for i in range(12)]
PARAMETERS = {"lr": Real(low=1e-5, high=1e-2, log=True), "kind": Choice(choices=("a", "b"))}


def test_a_range_is_called_too_narrow_when_the_best_crowd_at_its_end() -> None:
    (advice,) = ends_hit(searched(RATES), PARAMETERS, {"lr": 0.8, "kind": 0.2})
    assert advice == "The best lr lie at the upper end of its range (0.01): widen it and run again."


def test_choices_of_numbers_have_ends_too() -> None:
    trials = [trial(i, "finished", [-rank], rank=rank) for i, rank in enumerate([4, 8, 16] * 4)]
    space = {"rank": Choice(choices=(4, 8, 16))}
    (advice,) = ends_hit(trials, space, {"rank": 1.0})
    assert advice == "The best rank lie at the upper end of its range (16): widen it and run again."
    assert ends_hit(trials, {"rank": Choice(choices=(8, 16))}, {"rank": 1.0}) == []


def test_a_parameter_that_hardly_matters_is_left_alone() -> None:
    assert ends_hit(searched(RATES), PARAMETERS, {"lr": 0.2, "kind": 0.8}) == []


def test_few_trials_say_nothing_of_a_range() -> None:
    assert ends_hit(searched(RATES[:5]), PARAMETERS, {"lr": 1.0}) == []
