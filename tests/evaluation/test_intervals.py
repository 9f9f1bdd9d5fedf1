"""The bootstrap against the textbook standard error of a mean."""

from __future__ import annotations

import numpy as np
import pytest

from evaluation.intervals import Estimate, bootstrap


@pytest.mark.parametrize("size", [100, 400, 2000])
def test_for_many_values_the_error_is_that_of_the_textbook(size: int) -> None:
    values = np.random.default_rng(size).normal(3, 2, size)
    found = bootstrap(values.tolist())
    assert found.mean == pytest.approx(values.mean())
    assert found.standard_error == pytest.approx(values.std() / size**0.5, rel=0.08)


def test_equal_values_have_no_error() -> None:
    assert bootstrap([0.25] * 9) == Estimate(mean=0.25, standard_error=0.0)


def test_the_error_scales_with_the_values_and_is_the_same_at_every_call() -> None:
    once, doubled = bootstrap([1.0, 2.0, 5.0]), bootstrap([2.0, 4.0, 10.0])
    assert doubled.standard_error == pytest.approx(2 * once.standard_error)
    assert bootstrap([1.0, 2.0, 5.0]) == once


def test_an_estimate_reads_as_value_and_error() -> None:
    assert str(Estimate(mean=-0.01234, standard_error=0.002)) == "-0.0123 ± 0.0020"
