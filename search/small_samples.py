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

    Student's t in place of the normal distribution, by the expansion of Cornish and Fisher (Abramowitz &
    Stegun 1972, 26.7.5) at z = 2; for two values, where it does not converge, the exact quantile.

    Args:
        count: number of values, at least 2.
    """
    if count == 2:
        return math.tan(math.pi / 2 * math.erf(math.sqrt(2))) / 2
    freedom = count - 1
    return 1 + 1.25 / freedom + 1.53125 / freedom**2 + 1.4296875 / freedom**3
