"""Uncertainty of a mean (pure)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pydantic import BaseModel, ConfigDict

RESAMPLES = 1000


class Estimate(BaseModel):
    """A mean and its standard error, in the unit of the mean."""

    model_config = ConfigDict(frozen=True)

    mean: float
    standard_error: float

    def __str__(self) -> str:
        return f"{self.mean:+.4f} ± {self.standard_error:.4f}"


def bootstrap(values: Sequence[float]) -> Estimate:
    """The mean with its bootstrap standard error (Efron 1979): the spread of means of resampled values.

    The resampling is the same at every call, so that equal values give equal errors.

    Args:
        values: one per independent unit (image or prompt), at least one.
    """
    data = np.asarray(values, dtype=np.float64)
    picks = np.random.default_rng(0).integers(len(data), size=(RESAMPLES, len(data)))
    return Estimate(mean=float(data.mean()), standard_error=float(data[picks].mean(axis=1).std()))
