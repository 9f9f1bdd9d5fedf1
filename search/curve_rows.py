"""Checkpoints of trials as rows of numbers: where each stands in the search space, and when (pure)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from search.trial import Value

RATE = "optimiser.unet_lr"
"""The learning rate: a trial has gone as far as its rate times the images that it has seen."""
APART = 0.5
"""Between two choices, where 1 is between the ends of a range."""


@dataclass(frozen=True)
class CurveRows:
    """How checkpoints become rows: trial, decades of images before the horizon, dose, then the parameters.

    Attributes:
        distributions: of every parameter, by name.
        horizon_images: the most images that one trial sees.
    """

    distributions: Mapping[str, BaseDistribution]
    horizon_images: int

    def of(self, trial: int, values: Mapping[str, Value], images: Iterable[int]) -> NDArray[np.float64]:
        """Shape (checkpoints, columns).

        Args:
            trial: its number.
            values: its parameters; absent ones stand in the middle of their range.
            images: seen at each checkpoint, above 0.
        """
        place = [x for name, one in self._ordered for x in _coordinates(one, values.get(name))]
        rate = self._decades(values.get(RATE))
        times = [math.log10(seen / self.horizon_images) for seen in images]
        rows = [[trial, time, time + rate, *place] for time in times]
        return np.array(rows, dtype=np.float64).reshape(len(rows), 3 + len(place))

    @property
    def _ordered(self) -> list[tuple[str, BaseDistribution]]:
        return sorted(self.distributions.items())

    def _decades(self, rate: Value | None) -> float:
        """Of a learning rate above the middle of its range; 0 where it is not searched on a logarithmic scale."""
        match self.distributions.get(RATE):
            case FloatDistribution(low=low, high=high, log=True) if isinstance(rate, (int, float)):
                return math.log10(rate / math.sqrt(low * high))
            case _:
                return 0.0


def _coordinates(one: BaseDistribution, value: Value | None) -> list[float]:
    """A parameter's value: 0 to 1 in a range, a column for each choice."""
    match one:
        case CategoricalDistribution(choices=choices):
            return [APART * (value is not None and choice == value) for choice in choices]
        case FloatDistribution(low=low, high=high, log=log) | IntDistribution(low=low, high=high, log=log):
            if high <= low or not isinstance(value, (int, float)):
                return [0.5]
            if log:
                low, high, value = math.log(low), math.log(high), math.log(value)
            return [(value - low) / (high - low)]
        case _:
            return []
