"""How much a difference in each metric moves between two measurements with different seeds."""

from __future__ import annotations

from collections.abc import Sequence

from evaluation.judge import Judge
from evaluation.metrics.log_ratio import by_image
from evaluation.metrics.table import METRICS
from search.objective import Weights, spread


def measurement_noise(first: Sequence[Judge], again: Sequence[Judge]) -> dict[str, float]:
    """That of the validation loss and of everything that is measured on pictures, by metric.

    Of pictures it is the base model's own figure that is measured twice: a LoRA's pictures share little with the
    base model's. Losses on the same cells share nearly all of their noise, so it is a difference that is measured
    twice, that which captions make.

    Args:
        first: judges of the same images as ``again``, fold by fold.
        again: with other seeds.
    """
    both = (first, again)
    gains = [[by_image(judge.caption_gain()).tolist() for judge in judges] for judges in both]
    noise = {"validation": spread(*map(_flat, gains))}
    for name in first[0].base.figures:
        values = [[judge.base.figures[name][0].tolist() for judge in judges] for judges in both]
        noise[name] = spread(*map(_flat, values))
    return noise


def noise_outside(first: Sequence[Judge], again: Sequence[Judge], weights: Weights) -> dict[str, float]:
    """That of the weighed metrics on prompts outside the data set; rendering them takes time.

    Args:
        first: judges of the same images as ``again``, fold by fold.
        again: with other seeds.
        weights: how much each metric counts.
    """
    names = [name for name, metric in METRICS.items() if metric.outside and weights.get(name)]
    both = (first, again)
    return {
        name: spread(*(_flat([judge.outside_of_base()[name] for judge in judges]) for judges in both))
        for name in names
    }


def _flat(folds: Sequence[Sequence[float]]) -> list[float]:
    return [value for fold in folds for value in fold]
