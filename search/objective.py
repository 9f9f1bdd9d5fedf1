"""From measured differences to one figure: HIGHER IS BETTER, 0 is the base model without LoRA."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

Directions = Mapping[str, int]
"""Of each known metric whether more is better (+1) or worse (-1), by name."""

SPREAD_FLOOR = 1e-4
"""Smallest spread, in the metric's own unit: a metric that repeats exactly must not outweigh all others."""

Weights = Mapping[str, float]
"""How much each metric counts, at least 0, by metric name."""


@dataclass(frozen=True)
class Measurement:
    """A measured figure and how far off it may be, both in the figure's own unit."""

    mean: float
    standard_error: float


def weight_problems(weights: Weights, directions: Directions) -> list[str]:
    """Everything wrong with a study's weights, as sentences; empty if nothing is."""
    problems = [
        f"Unknown metric {name!r}; choose among: {', '.join(sorted(directions))}."
        for name in weights
        if name not in directions
    ]
    problems += [
        f"weights.{name} must be a number of at least 0, but got {weight}."
        for name, weight in weights.items()
        if not (math.isfinite(weight) and weight >= 0)
    ]
    if not any(weights.values()):
        problems.append(f"At least one metric needs a weight above 0, but got {dict(weights)}.")
    return problems


def combine(
    differences: Mapping[str, Measurement],
    units: Mapping[str, float],
    weights: Weights,
    directions: Directions,
) -> Measurement:
    """The weighted mean of differences from the base model, each in its own unit.

    `sum_m w_m * direction_m * difference_m / unit_m / sum_m w_m`; the standard errors are combined in
    quadrature, as if the metrics' errors were independent. Metrics of weight 0 are not read.

    Args:
        differences: a checkpoint's figure minus the base model's, in the metric's unit.
        units: of each metric what counts as 1, positive.
        weights: by metric name.
        directions: of each known metric whether more is better.

    Returns:
        The objective; not finite when a difference is not.

    Raises:
        ValueError: wrong weights, a weighted metric without difference or unit, a unit that is not
            positive; all of them are told.
    """
    problems = weight_problems(weights, directions)
    for name in (name for name, weight in weights.items() if weight > 0):
        if name not in differences:
            problems.append(f"Metric {name!r} has a weight but was not measured.")
        if not units.get(name, 0.0) > 0:
            problems.append(f"The unit of {name!r} must be positive, but got {units.get(name)}.")
    if problems:
        raise ValueError("\n".join(problems))
    parts = _parts(differences, units, weights, directions)
    return Measurement(
        math.fsum(part.mean for part in parts.values()),
        math.hypot(*(part.standard_error for part in parts.values())),
    )


def weighted(
    cells: Mapping[str, Sequence[float]],
    units: Mapping[str, float],
    weights: Weights,
    directions: Directions,
) -> dict[str, tuple[float, ...]]:
    """Single differences in the objective's unit: the means of all metrics add up to the objective.

    Args:
        cells: a checkpoint's differences from the base model by image or render, by metric; metrics of
            weight 0 are left out.
        units: as for `combine`.
        weights: as for `combine`.
        directions: as for `combine`.
    """
    factors = _factors(units, weights, directions)
    return {
        name: tuple(factor * value for value in cells[name])
        for name, factor in factors.items()
        if name in cells
    }


def shares(
    differences: Sequence[Mapping[str, Measurement]],
    units: Mapping[str, float],
    weights: Weights,
    directions: Directions,
) -> dict[str, float]:
    """Each metric's share in the objective's variance over checkpoints: which metric ruled the study.

    With objective `o = sum_m c_m`, the share of metric m is `cov(c_m, o) / var(o)`. Shares add up to 1; one
    is negative when its metric worked against the others. All are 0 when the objective does not vary.

    Args:
        differences: one mapping a checkpoint, as for `combine`; those without a finite objective are left
            out.
        units: as for `combine`.
        weights: as for `combine`.
        directions: as for `combine`.
    """
    rows = [_parts(row, units, weights, directions) for row in differences]
    rows = [row for row in rows if all(math.isfinite(part.mean) for part in row.values())]
    names = [name for name, weight in weights.items() if weight > 0]
    columns = {name: _centred([row[name].mean for row in rows]) for name in names}
    total = [math.fsum(row) for row in zip(*columns.values(), strict=True)]
    variance = math.fsum(t * t for t in total)
    if variance == 0:
        return dict.fromkeys(names, 0.0)
    return {
        name: math.fsum(c * t for c, t in zip(columns[name], total, strict=True)) / variance for name in names
    }


def spread(first: Sequence[float], second: Sequence[float]) -> float:
    """How much the mean of a metric moves when the same model is measured again with other noise.

    Each cell's difference has twice the variance of one measurement, so the standard deviation of the mean
    over n cells is `sqrt(sum((a - b)^2) / 2) / n`.

    Args:
        first: the metric in n cells, in its own unit.
        second: the same cells in the same order with other noise.

    Returns:
        The standard deviation in the metric's unit, never below `SPREAD_FLOOR`.

    Raises:
        ValueError: no cells, unequal numbers of cells, or a value that is not finite.
    """
    if not first or len(first) != len(second):
        raise ValueError(f"Both measurements need the same cells, but got {len(first)} and {len(second)}.")
    if not all(map(math.isfinite, (*first, *second))):
        raise ValueError("The spread needs finite measurements, but got NaN or infinity.")
    squares = math.fsum((a - b) ** 2 for a, b in zip(first, second, strict=True))
    return max(math.sqrt(squares / 2) / len(first), SPREAD_FLOOR)


def _parts(
    differences: Mapping[str, Measurement],
    units: Mapping[str, float],
    weights: Weights,
    directions: Directions,
) -> dict[str, Measurement]:
    """What each weighted metric adds to the objective, with its standard error."""
    return {
        name: Measurement(factor * differences[name].mean, abs(factor) * differences[name].standard_error)
        for name, factor in _factors(units, weights, directions).items()
    }


def _factors(units: Mapping[str, float], weights: Weights, directions: Directions) -> dict[str, float]:
    """What one unit of each weighted metric is worth in the objective."""
    total = math.fsum(weights.values())
    return {
        name: directions[name] * weight / total / units[name]
        for name, weight in weights.items()
        if weight > 0
    }


def _centred(values: Sequence[float]) -> list[float]:
    mean = math.fsum(values) / len(values) if values else 0.0
    return [value - mean for value in values]
