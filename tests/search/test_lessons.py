from __future__ import annotations

import pytest
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from search.lessons import DEEPEST, Lesson, as_trials, standings
from search.samplers import Draw, make_sampler
from search.space import parse_space
from search.trial import Finished
from tests.search.conftest import Study

SHAPE: dict[str, BaseDistribution] = {
    "x": FloatDistribution(0.0, 1.0),
    "kind": CategoricalDistribution(["a", "b"]),
}


def own(*values: float) -> list[FrozenTrial]:
    return [create_trial(params={"x": 0.5, "kind": "a"}, distributions=dict(SHAPE), value=v) for v in values]


def lesson(x: float, standing: float, **more: str) -> Lesson:
    return Lesson(values={"x": x, "kind": "b", **more}, standing=standing)


def test_the_best_stands_at_one_the_median_at_zero_and_the_worst_no_deeper_than_two_below() -> None:
    assert standings([1.0, 3.0, 5.0, -90.0, 4.0]) == [-1.0, 0.0, 1.0, DEEPEST, 0.5]
    assert standings([2.0, 2.0]) == [0.0, 0.0]


def test_lessons_are_told_on_the_scale_of_the_study() -> None:
    found = as_trials([lesson(0.1, 1.0), lesson(0.2, 0.0), lesson(0.3, -1.0)], own(10.0, 20.0, 40.0))
    assert [(t.params["x"], t.value) for t in found] == [(0.1, 40.0), (0.2, 20.0), (0.3, 0.0)]
    assert all(t.state is TrialState.COMPLETE for t in found)


def test_there_are_never_more_lessons_than_own_trials_evenly_from_best_to_worst() -> None:
    many = [lesson(n / 10, n / 9) for n in range(10)]
    assert [t.params["x"] for t in as_trials(many, own(1.0, 2.0))] == [0.9, 0.4]
    assert as_trials(many, []) == []


@pytest.mark.parametrize(
    "strange", [lesson(1.5, 1.0), lesson(0.5, 1.0, other="c"), Lesson(values={"x": 0.5}, standing=1.0)]
)
def test_what_does_not_fit_the_space_is_left_out(strange: Lesson) -> None:
    assert as_trials([strange], own(1.0, 2.0)) == []


def test_a_sampler_looks_where_earlier_studies_were_good_before_its_own_trials_say_so(study: Study) -> None:
    space, memory = parse_space({"x": {"low": 0.0, "high": 1.0}}), study.memory()
    lessons = [Lesson(values={"x": n / 40}, standing=n / 20 - 1) for n in range(41)]
    asked = []
    for n in range(30):
        sampler = make_sampler("tpe", Draw(2, n, 30))
        shown = lessons if n >= 10 else ()
        x = float(memory.suggest(memory.begin(), space.suggest, sampler, lessons=shown)["x"])
        memory.tell(n, Finished(), 0.01 * (n % 3))  # its own trials say nothing
        asked.append(x)
    assert sum(x > 0.6 for x in asked[10:]) >= 14  # at random 8 of 20
