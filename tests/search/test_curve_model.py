"""Curves whose optimum is known: -(log10(dose) - peak)^2, a parabola over learning rate times images seen."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from optuna.distributions import FloatDistribution

from search.curve_model import MOST_POINTS, Curve, CurveModel, enough, thinned
from search.curve_rows import RATE, CurveRows
from search.trial import Point

HORIZON, STEP = 1000, 100
ROWS = CurveRows({RATE: FloatDistribution(1e-5, 1e-2, log=True)}, HORIZON)
PEAK = math.log10(10**-3.5 * 400)
"""At the middle rate the optimum lies at 400 images."""


def level(rate: float, images: int, noise: float = 0.0) -> float:
    return 1.0 - (math.log10(rate * images) - PEAK) ** 2 + noise


def curve(trial: int, rate: float, upto: int = HORIZON, noise: float = 0.0) -> Curve:
    drawn = np.random.default_rng(trial)
    seen = range(STEP, upto + 1, STEP)
    return Curve(trial, {RATE: rate}, tuple(Point(n, level(rate, n, noise * drawn.normal())) for n in seen))


def known(noise: float = 0.01) -> list[Curve]:
    return [curve(n, 10 ** (-4.5 + n / 2.5), noise=noise) for n in range(6)]


def test_the_optimum_of_a_curve_that_has_hardly_begun_is_found_by_the_others() -> None:
    """At 10^-3.7 the dose of the optimum is reached at 400 x 10^0.2 = 634 images."""
    begun = curve(9, 10**-3.7, upto=200, noise=0.01)
    found = CurveModel([*known(), begun], ROWS).forecast(begun)
    assert 500 <= found.images_seen <= 800
    assert found.low <= 1.0 <= found.high and found.high - found.low < 0.3


def test_a_trial_past_its_optimum_has_nothing_before_it() -> None:
    late = curve(9, 10**-2.6, upto=300, noise=0.01)
    found = CurveModel([*known(), late], ROWS).forecast(late)
    assert found.images_seen == 100 and found.chance < 0.01


def test_intervals_hold_what_they_say_on_many_studies() -> None:
    inside = []
    for seed in range(24):
        rates = 10 ** np.random.default_rng(seed).uniform(-4.5, -2.5, 7)
        curves = [curve(100 * seed + n, float(rate), noise=0.03) for n, rate in enumerate(rates)]
        begun = curve(100 * seed + 50, 10**-3.6, upto=200, noise=0.03)
        found = CurveModel([*curves, begun], ROWS).forecast(begun)
        inside.append(found.low <= 1.0 <= found.high)
    assert np.mean(inside) >= 0.75  # of 0.90, less two errors of 24 draws


def test_one_more_trial_gains_where_nothing_has_been_near_the_optimum_and_hardly_where_it_has() -> None:
    far = [curve(n, 10 ** (-5 + n / 10), noise=0.01) for n in range(3)]
    fresh = [Curve(-1 - n, {RATE: 10 ** (-5 + n / 4)}) for n in range(12)]
    ahead, done = (CurveModel(study, ROWS).gain(fresh) for study in (far, known()))
    assert ahead > 0.1 > 0.03 > done >= 0


def test_the_same_curves_give_the_same_forecast() -> None:
    begun = curve(9, 10**-3.7, upto=200)
    one, other = (CurveModel([*known(), begun], ROWS).forecast(begun) for _ in range(2))
    assert one == other


def test_how_far_a_diverged_trial_fell_does_not_matter() -> None:
    def with_fall(depth: float) -> float:
        fallen = Curve(8, {RATE: 1e-2}, (Point(100, -depth), Point(200, -2 * depth)))
        return CurveModel([*known(), fallen], ROWS).forecast(known()[2]).best

    assert with_fall(1e3) == pytest.approx(with_fall(1e6))


def test_long_curves_are_thinned_to_evenly_spaced_points_with_the_best_and_the_last() -> None:
    whole = Curve(0, {}, tuple(Point(n, -abs(n - 37)) for n in range(1, 101)))
    found = [point.images_seen for point in thinned(whole, 12).points]
    assert len(found) <= 12 and {1, 37, 100} <= set(found)
    assert max(b - a for a, b in pairwise(found)) <= 11
    many = [curve(n, 1e-4) for n in range(2 * MOST_POINTS // 10)]
    CurveModel(many, ROWS)  # in seconds


def test_too_little_is_said() -> None:
    assert not enough([curve(0, 1e-4)]) and not enough([curve(0, 1e-4, 300), curve(1, 1e-4, 300)])
    with pytest.raises(ValueError, match="at least 2 trials"):
        CurveModel([curve(0, 1e-4)], ROWS)


def test_a_trial_that_stands_at_the_horizon_can_gain_nothing() -> None:
    """It still runs where its pictures are being stored, or where it was killed then."""
    model = CurveModel(known(), ROWS)
    ended, begun = curve(0, 10**-4.5), curve(9, 10**-3.5, upto=100)
    assert model.gain([ended]) == 0.0
    assert model.gain([ended, begun]) == model.gain([begun])
