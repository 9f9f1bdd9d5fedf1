"""Standard errors of a few values, so that "two standard errors" means the same as with many (pure)."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence


def standard_error(values: Sequence[float]) -> float:
    """Of the mean of at least two values, widened for their number."""
    return statistics.stdev(values) / math.sqrt(len(values)) * widening(len(values))


def widening(count: int) -> float:
    """How much larger twice the standard error of ``count`` values must be for chance to exceed it in 4.6 %.

    The quantile of Student's t that is as rare as 2 is for the normal distribution, in units of 2.

    Args:
        count: number of values, at least 2.
    """
    from scipy.special import stdtrit

    below = (1 + math.erf(math.sqrt(2))) / 2
    return float(stdtrit(count - 1, below)) / 2
