import math

import numpy as np
import pytest
from scipy import stats

from search.small_samples import standard_error, widening

TWO = (1 + math.erf(math.sqrt(2))) / 2
"""How often a normal value is below 2."""
RARE = 4 * TWO * (1 - TWO)
CLOSED = {
    2: math.tan(math.pi * (TWO - 0.5)),
    3: (2 * TWO - 1) * math.sqrt(2 / RARE),
    5: 2 * math.sqrt(math.cos(math.acos(math.sqrt(RARE)) / 3) / math.sqrt(RARE) - 1),
}
"""Number of values -> Student's t at ``TWO``, where it has a closed form (1, 2 and 4 degrees of freedom)."""


@pytest.mark.parametrize(("count", "quantile"), CLOSED.items())
def test_the_widening_is_students_t_over_the_normal_distributions_two(count: int, quantile: float) -> None:
    assert widening(count) == pytest.approx(quantile / 2, rel=1e-12)


@pytest.mark.parametrize("count", [2, 3, 4, 9, 30, 1000, 10**6])
def test_it_is_scipys_quantile(count: int) -> None:
    assert widening(count) == pytest.approx(stats.t.ppf(stats.norm.cdf(2), count - 1) / 2, rel=1e-12)


@pytest.mark.parametrize("count", [30, 100, 1000])
def test_of_more_than_a_few_values_it_is_cornish_and_fishers_expansion(count: int) -> None:
    """Abramowitz & Stegun 1972, 26.7.5 at z = 2; the next term is about 1.5 / freedom**4."""
    freedom = count - 1
    expansion = 1 + 1.25 / freedom + 1.53125 / freedom**2 + 1.4296875 / freedom**3
    assert widening(count) == pytest.approx(expansion, abs=3 / freedom**4)


def test_of_many_values_it_is_the_textbooks() -> None:
    values = np.random.default_rng(0).normal(0, 3, 5000)
    assert standard_error(values.tolist()) == pytest.approx(values.std() / math.sqrt(5000), rel=1e-3)


@pytest.mark.parametrize("count", [3, 4, 9])
def test_twice_the_error_is_exceeded_as_rarely_as_the_level_says(count: int) -> None:
    draws = np.random.default_rng(count).normal(0, 1, (4000, count))
    share = np.mean([abs(row.mean()) > 2 * standard_error(row.tolist()) for row in draws])
    assert share == pytest.approx(0.0455, abs=0.012)
