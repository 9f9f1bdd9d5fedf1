"""Uncertainty of a mean (pure)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, field_serializer, field_validator

RESAMPLES = 1000


class Estimate(BaseModel):
    """A mean and its standard error, in the unit of the mean."""

    model_config = ConfigDict(frozen=True)

    mean: float
    standard_error: float
    """Infinite where it is unknown, as that of a single value; null in JSON."""

    @field_validator("standard_error", mode="before")
    @classmethod
    def _unknown(cls, value: Any) -> Any:
        return math.inf if value is None else value

    @field_serializer("standard_error", when_used="json")
    def _finite(self, value: float) -> float | None:
        return value if math.isfinite(value) else None

    def __str__(self) -> str:
        error = f"{self.standard_error:.4f}" if math.isfinite(self.standard_error) else "?"
        return f"{self.mean:+.4f} ± {error}"


def bootstrap(values: Sequence[float]) -> Estimate:
    """The mean with its bootstrap standard error (Efron 1979): the spread of means of resampled values.

    The plug-in spread is too small by sqrt((n - 1) / n), which is undone (Efron & Tibshirani 1993, section
    6.3); a single value says nothing about its error, which is infinite then. The resampling is the same at
    every call, so that equal values give equal errors.

    Args:
        values: one per independent unit (image or prompt), at least one.
    """
    data = np.asarray(values, dtype=np.float64)
    count = len(data)
    if count == 1:
        return Estimate(mean=float(data[0]), standard_error=math.inf)
    picks = np.random.default_rng(0).integers(count, size=(RESAMPLES, count))
    spread = float(data[picks].mean(axis=1).std()) * math.sqrt(count / (count - 1))
    return Estimate(mean=float(data.mean()), standard_error=spread)


def clustered(values: Sequence[float], owners: Sequence[int]) -> Estimate:
    """The same for values that belong together: renders of one prompt, timesteps of one image.

    Owners are drawn with replacement, and all values of a drawn owner are taken: that covers the spread
    between owners and within them, while drawing again within owners would count the latter twice (Davison &
    Hinkley 1997, section 3.8). Where there is one owner only, its values are resampled.

    Args:
        values: n measurements.
        owners: which unit each belongs to, n numbers.
    """
    return bootstrap(by_owner(values, owners))


def by_owner(values: Sequence[float], owners: Sequence[int]) -> tuple[float, ...]:
    """Each owner's mean in the order of first appearance; the values themselves if there is one owner."""
    groups: dict[int, list[float]] = {}
    for value, owner in zip(values, owners, strict=True):
        groups.setdefault(owner, []).append(value)
    if len(groups) < 2:
        return tuple(values)
    return tuple(math.fsum(group) / len(group) for group in groups.values())
