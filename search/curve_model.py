"""Learning curves of all trials together as one Gaussian process: where each has its optimum, and how sure that is."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor

from search.curve_kernel import curves
from search.curve_rows import CurveRows
from search.trial import Point, Value

Floats = NDArray[np.float64]

FEWEST_POINTS = 8
"""Checkpoints of at least two trials, below which nothing is forecast."""
MOST_POINTS = 300
"""More cost minutes and say no more: long curves are thinned."""
MOST_AHEAD = 12
"""Image counts at which a trial's future is drawn."""
DRAWS = 1000
FITTED = 5
"""What is estimated from the points: four variances and the mean. Their own errors widen what is forecast."""
DEEPEST = 3.0
"""Objectives are cut off where they lie this many times as far below the best as the median: how far a diverging
trial has fallen says nothing about the good ones."""
RIVALS = 4
"""Trials that the best may be among."""


@dataclass(frozen=True)
class Curve:
    """What is known of one trial.

    Attributes:
        trial: its number.
        values: its parameters.
        points: its checkpoints, ordered by images seen.
    """

    trial: int
    values: Mapping[str, Value]
    points: tuple[Point, ...] = ()


@dataclass(frozen=True)
class Optimum:
    """The optimum of a trial that would be trained to the horizon.

    Attributes:
        images_seen: where it is expected.
        best: the objective there, its noise taken off.
        low: 5 % of the draws lie below.
        high: 5 % lie above.
        chance: that what is still to come of the trial exceeds all that other trials have reached.
    """

    images_seen: int
    best: float
    low: float
    high: float
    chance: float


class CurveModel:
    """Fitted to all checkpoints of a study; the same checkpoints give the same forecasts.

    Args:
        known: trials with their checkpoints.
        rows: how they become numbers.

    Raises:
        ValueError: fewer than `FEWEST_POINTS` checkpoints, or all of one trial.
    """

    def __init__(self, known: Sequence[Curve], rows: CurveRows) -> None:
        if not enough(known):
            raise ValueError(f"A curve model needs {FEWEST_POINTS} checkpoints of at least 2 trials.")
        self._rows, self._known = rows, [thinned(one, _each(known)) for one in known if one.points]
        self._step = _spacing(self._known)
        told = np.array([point.objective for one in self._known for point in one.points])
        if depth := float(told.max() - np.median(told)):
            told = np.maximum(told, told.max() - DEEPEST * depth)
        self._mean, self._scale = float(told.mean()), float(told.std()) or 1.0
        self._widening = len(told) / (len(told) - FITTED)
        inputs = np.concatenate([self._at(one, [p.images_seen for p in one.points]) for one in self._known])
        self._process = GaussianProcessRegressor(curves(inputs.shape[1]), alpha=1e-8)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # a variance at its bound is an answer
            self._process.fit(inputs, (told - self._mean) / self._scale)

    def forecast(self, trial: Curve) -> Optimum:
        """Where a trial's optimum lies; of one without checkpoints by its parameters alone."""
        past, ahead = [point.images_seen for point in trial.points], self._ahead(trial)
        whole, now = len(past) + len(ahead), len(past)
        rivals = self._rivals(trial.trial)
        draws, expected = self._drawn(
            [self._at(trial, [*past, *ahead]), *(self._at(one, [seen]) for one, seen in rivals)]
        )
        tops = draws[:, :whole].max(axis=1)
        if ahead and rivals:
            chance = float((draws[:, now:whole].max(axis=1) > draws[:, whole:].max(axis=1)).mean())
        else:
            chance = 1.0 if ahead else 0.0
        place = [*past, *ahead][int(expected[:whole].argmax())]
        low, high = np.quantile(tops, [0.05, 0.95])
        return Optimum(place, float(tops.mean()), float(low), float(high), chance)

    def expected(self, trial: Curve, images: Sequence[int]) -> list[float]:
        """A trial's objectives at some image counts, without noise."""
        found = self._process.predict(self._at(trial, images)) * self._scale + self._mean
        return [float(value) for value in found]

    @property
    def noise(self) -> float:
        """The standard deviation of a measured objective."""
        return math.sqrt(self._process.kernel_.k2.noise_level) * self._scale

    def coming(self, trial: Curve) -> tuple[float, float, float]:
        """The best of a trial's checkpoints to come as it will be measured, noise included: mean, 5 and 95 %.

        Raises:
            ValueError: it has none before it.
        """
        ahead = self._ahead(trial)
        if not ahead:
            raise ValueError(f"Trial {trial.trial} has been trained to the horizon.")
        tops = self._drawn([self._at(trial, ahead)], measured=True)[0].max(axis=1)
        low, high = np.quantile(tops, [0.05, 0.95])
        return float(tops.mean()), float(low), float(high)

    def gain(self, candidates: Sequence[Curve]) -> float:
        """By how much the most promising of some trials is expected to exceed all that has been reached, 0 or more."""
        found = 0.0
        for one in candidates:
            ahead, rivals = self._ahead(one), self._rivals(one.trial)
            if not ahead or not rivals:
                continue
            draws, _ = self._drawn([self._at(one, ahead), *(self._at(r, [seen]) for r, seen in rivals)])
            lead = draws[:, : len(ahead)].max(axis=1) - draws[:, len(ahead) :].max(axis=1)
            found = max(found, float(np.maximum(lead, 0.0).mean()))
        return found

    def _at(self, trial: Curve, images: Sequence[int]) -> Floats:
        return self._rows.of(trial.trial, trial.values, images)

    def _ahead(self, trial: Curve) -> list[int]:
        """Image counts of the checkpoints that a trial has still before it."""
        horizon = self._rows.horizon_images
        now = trial.points[-1].images_seen if trial.points else 0
        step = _spacing([trial]) or self._step
        left = range(now + step, horizon + 1, step)
        if not left and now < horizon:
            return [horizon]
        return list(left[:: max(1, -(-len(left) // MOST_AHEAD))])

    def _rivals(self, but: int) -> list[tuple[Curve, int]]:
        """The best places of the best other trials, by what is expected there."""
        return [(one, images) for one, images in self._places if one.trial != but][:RIVALS]

    @cached_property
    def _places(self) -> list[tuple[Curve, int]]:
        """Every trial with the image count at which most is expected of it, the best first."""
        found = []
        for one in self._known:
            images = [point.images_seen for point in one.points]
            expected = self._process.predict(self._at(one, images))
            best = int(expected.argmax())
            found.append((-float(expected[best]), one.trial, one, images[best]))
        return [(one, images) for _, _, one, images in sorted(found, key=lambda place: place[:2])]

    def _drawn(self, parts: Sequence[Floats], measured: bool = False) -> tuple[Floats, Floats]:
        """Objectives at some rows, without noise unless ``measured``: draws of shape (draws, rows), and the mean."""
        inputs = np.concatenate(parts)
        mean, covariance = self._process.predict(inputs, return_cov=True)
        if not measured:
            covariance -= self._process.kernel_.k2.noise_level * np.eye(len(inputs))
        spread, axes = np.linalg.eigh(covariance)
        normal = np.random.default_rng(0).standard_normal((DRAWS, len(inputs)))
        moved = normal * np.sqrt(np.maximum(spread, 0.0) * self._widening) @ axes.T
        return (mean + moved) * self._scale + self._mean, mean


def enough(known: Sequence[Curve]) -> bool:
    """Whether there is anything to learn from."""
    curves = [one.points for one in known if one.points]
    return len(curves) > 1 and sum(map(len, curves)) >= FEWEST_POINTS


def thinned(curve: Curve, most: int) -> Curve:
    """A curve of at most so many points (at least 3): evenly spaced, the best and the last among them."""
    points = curve.points
    if len(points) <= most:
        return curve
    best = max(range(len(points)), key=lambda place: points[place].objective)
    even = [round(place * (len(points) - 1) / (most - 2)) for place in range(most - 1)]
    return Curve(curve.trial, curve.values, tuple(points[place] for place in sorted({*even, best})))


def _each(known: Sequence[Curve]) -> int:
    """Points that each curve may keep."""
    return max(3, MOST_POINTS // max(1, sum(bool(one.points) for one in known)))


def _spacing(known: Sequence[Curve]) -> int:
    """Images between checkpoints, the median over curves; 0 if there is none."""
    found = sorted(one.points[-1].images_seen // len(one.points) for one in known if one.points)
    return max(1, found[len(found) // 2]) if found else 0
