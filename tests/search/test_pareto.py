from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from search.objective import Measurement
from search.pareto import front
from search.selection import Candidate

METRICS = ("validation", "clip_image")
DIRECTIONS = {"validation": -1, "clip_image": 1}


def candidate(number: int, validation: float, clip_image: float) -> Candidate:
    scores = {"validation": Measurement(validation, 0.1), "clip_image": Measurement(clip_image, 0.1)}
    return Candidate(number, 1, 10, 4, Measurement(0, 0.1), scores)


def test_the_front_holds_what_nothing_beats_in_both_metrics() -> None:
    points = [(-0.3, 1.0), (-0.2, 2.0), (-0.1, 1.5), (0.0, 3.0), (-0.3, 0.5)]
    found = front([candidate(i, *point) for i, point in enumerate(points)], METRICS, DIRECTIONS)
    assert [c.trial for c in found] == [0, 1, 3]


def test_equal_checkpoints_are_both_on_the_front() -> None:
    assert len(front([candidate(0, -1, 1), candidate(1, -1, 1)], METRICS, DIRECTIONS)) == 2


def test_a_checkpoint_without_a_finite_figure_is_left_out() -> None:
    nowhere = Candidate(7, 1, 10, 4, Measurement(0, 0.1), {"validation": Measurement(-9, 0.1)})
    assert [c.trial for c in front([candidate(0, -1, 1), nowhere], METRICS, DIRECTIONS)] == [0]
    assert front([candidate(0, float("nan"), 1)], METRICS, DIRECTIONS) == []


@given(st.lists(st.tuples(st.integers(-4, 4), st.integers(-4, 4)), max_size=12))
def test_it_equals_the_definition(points: list[tuple[int, int]]) -> None:
    candidates = [candidate(i, -a, b) for i, (a, b) in enumerate(points)]
    expected = {
        i
        for i, (a, b) in enumerate(points)
        if not any(c >= a and d >= b and (c, d) != (a, b) for c, d in points)
    }
    assert {c.trial for c in front(candidates, METRICS, DIRECTIONS)} == expected
