import math

import numpy as np
import pytest

from search.small_samples import standard_error, widening

QUANTILES = {2: 6.984, 4: 1.6534, 6: 1.3243, 9: 1.1832, 30: 1.0440, 1000: 1.0013}
"""scipy 1's ``t.ppf(norm.cdf(2), count - 1) / 2``."""


@pytest.mark.parametrize(("count", "exact"), QUANTILES.items())
def test_the_widening_is_students_t_over_the_normal_distributions_two(count: int, exact: float) -> None:
    assert widening(count) == pytest.approx(exact, rel=0.01)


def test_with_three_values_it_is_nearly_that() -> None:
    assert widening(3) == pytest.approx(2.2633, rel=0.04)


def test_of_many_values_it_is_the_textbooks() -> None:
    values = np.random.default_rng(0).normal(0, 3, 5000)
    assert standard_error(values.tolist()) == pytest.approx(values.std() / math.sqrt(5000), rel=1e-3)


@pytest.mark.parametrize("count", [3, 4, 9])
def test_twice_the_error_is_exceeded_as_rarely_as_the_level_says(count: int) -> None:
    draws = np.random.default_rng(count).normal(0, 1, (4000, count))
    share = np.mean([abs(row.mean()) > 2 * standard_error(row.tolist()) for row in draws])
    assert share == pytest.approx(0.0455, abs=0.012)
