import math

import pytest

from search.curve import at, best, best_so_far, smooth
from search.trial import Point

CURVE = (Point(100, 1.0), Point(200, 2.0), Point(300, 0.0))


def test_smoothing_agrees_with_a_calculation_by_hand() -> None:
    found = [point.objective for point in smooth(CURVE)]
    assert found == pytest.approx([1.0, 0.7 * 2 + 0.3 * 1, 0.3 * 1.7])


def test_later_points_do_not_change_the_smoothed_past() -> None:
    assert smooth(CURVE)[:2] == smooth(CURVE[:2])


def test_the_best_so_far_never_falls() -> None:
    assert [point.objective for point in best_so_far(smooth(CURVE))] == pytest.approx([1.0, 1.7, 1.7])


def test_the_curve_is_read_between_checkpoints_by_interpolation() -> None:
    assert at(CURVE, 100) == pytest.approx(1.0)
    assert at(CURVE, 150) == pytest.approx(1.35)
    assert at(CURVE, 300) == pytest.approx(1.7)


def test_before_the_first_checkpoint_the_curve_starts_from_the_base_model() -> None:
    assert at(CURVE, 0) == 0.0
    assert at(CURVE, 25) == pytest.approx(0.25)
    assert at([Point(100, -2.0)], 100) == -2.0


def test_reading_beyond_the_last_checkpoint_is_refused() -> None:
    with pytest.raises(ValueError, match="from 0 to 300 images seen, but was read at 301"):
        at(CURVE, 301)


def test_points_that_are_not_finite_are_left_out() -> None:
    broken = (*CURVE, Point(400, math.nan), Point(500, math.inf))
    assert smooth(broken) == smooth(CURVE)
    assert best(broken) == pytest.approx(1.7)
    assert best([Point(100, math.nan)]) is None
