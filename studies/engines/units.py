"""What one unit of each metric is in the objective."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence

from evaluation.judge import Judge
from evaluation.metrics.log_ratio import by_image
from evaluation.metrics.table import METRICS
from search.objective import Weights, spread

LEAST = 3.0
"""Noises of one measurement that a unit is at least: where there is hardly a way to go, noise is not taken for it."""


def measured_units(first: Sequence[Judge], again: Sequence[Judge], weights: Weights) -> dict[str, float]:
    """The way from the base model to the real images, by metric; where there is none, some noises.

    A metric counts by how far it could go, not by how sharply it is measured. Of pictures the way is that from the
    base model's figure to the real images' own; of the loss, what captions gain, since no loss is the real images'.

    Args:
        first: judges of the same images as ``again``, fold by fold.
        again: with other seeds, which tell the noise.
        weights: how much each metric counts.
    """
    noises = noise(first, again) | _noise_outside(first, again, weights)
    ways = _ways(first)
    return {name: max(ways.get(name, 0.0), LEAST * one) for name, one in noises.items()}


def _ways(judges: Sequence[Judge]) -> dict[str, float]:
    found: dict[str, list[float]] = {}
    for judge in judges:
        for name, way in judge.ways().items():
            found.setdefault(name, []).append(way)
    return {name: abs(statistics.fmean(of)) for name, of in found.items()}


def noise(first: Sequence[Judge], again: Sequence[Judge]) -> dict[str, float]:
    """How much each metric moves when it is measured again with other seeds.

    Of pictures it is the base model's own figure that is measured twice: a LoRA's pictures share little with the
    base model's. Losses on the same cells share nearly all of their noise, so it is a difference that is measured
    twice, that which captions make.
    """
    both = (first, again)
    gains = [[by_image(judge.caption_gain()).tolist() for judge in judges] for judges in both]
    found = {"validation": spread(*map(_flat, gains))}
    for name in first[0].base.figures:
        values = [[judge.base.figures[name][0].tolist() for judge in judges] for judges in both]
        found[name] = spread(*map(_flat, values))
    return found


def _noise_outside(first: Sequence[Judge], again: Sequence[Judge], weights: Weights) -> dict[str, float]:
    """That of the weighed metrics on prompts outside the data set; rendering them takes time."""
    names = [name for name, metric in METRICS.items() if metric.outside and weights.get(name)]
    both = (first, again)
    return {
        name: spread(*(_flat([judge.outside_of_base()[name] for judge in judges]) for judges in both))
        for name in names
    }


def _flat(folds: Iterable[Sequence[float]]) -> list[float]:
    return [value for fold in folds for value in fold]
