"""The bootstrap against the textbook standard error of a mean."""

from __future__ import annotations

import math

import numpy as np
import pytest

from evaluation.intervals import Estimate, bootstrap, by_owner, clustered


@pytest.mark.parametrize("size", [100, 400, 2000])
def test_for_many_values_the_error_is_that_of_the_textbook(size: int) -> None:
    values = np.random.default_rng(size).normal(3, 2, size)
    found = bootstrap(values.tolist())
    assert found.mean == pytest.approx(values.mean())
    assert found.standard_error == pytest.approx(values.std() / size**0.5, rel=0.08)


def test_for_few_values_the_error_is_not_too_small() -> None:
    values = np.random.default_rng(1).normal(3, 2, 4)
    assert bootstrap(values.tolist()).standard_error == pytest.approx(values.std(ddof=1) / 2, rel=0.08)


def test_a_single_value_claims_no_error_and_json_keeps_that() -> None:
    found = bootstrap([0.7])
    assert (found.mean, found.standard_error) == (0.7, math.inf)
    stored = found.model_dump(mode="json")
    assert stored == {"mean": 0.7, "standard_error": None}
    assert Estimate.model_validate(stored) == found
    assert str(found) == "+0.7000 ± ?"


def test_renders_of_one_prompt_are_no_independent_measurements() -> None:
    """Textbook variance of a mean over clusters: that of the clusters' means."""
    source = np.random.default_rng(2)
    prompts = source.normal(0, 3, 40)
    values = prompts[:, None] + source.normal(0, 1, (40, 5))
    owners = np.repeat(np.arange(40), 5).tolist()
    found = clustered(values.ravel().tolist(), owners)
    assert found.mean == pytest.approx(values.mean())
    assert found.standard_error == pytest.approx(values.mean(1).std(ddof=1) / 40**0.5, rel=0.08)
    assert found.standard_error > 1.8 * bootstrap(values.ravel().tolist()).standard_error


def test_the_error_over_prompts_is_that_of_new_prompts_with_new_seeds() -> None:
    """The spread of the mean over many draws of 12 prompts and 4 seeds each."""
    source, means, errors = np.random.default_rng(3), [], []
    for _ in range(200):
        values = source.normal(0, 2, (12, 1)) + source.normal(0, 3, (12, 4))
        found = clustered(values.ravel().tolist(), np.repeat(np.arange(12), 4).tolist())
        means.append(found.mean)
        errors.append(found.standard_error)
    assert np.mean(errors) == pytest.approx(np.std(means), rel=0.1)


def test_one_prompts_seeds_are_resampled_themselves() -> None:
    assert clustered([1.0, 2.0, 5.0], [7, 7, 7]) == bootstrap([1.0, 2.0, 5.0])
    assert by_owner([1.0, 2.0, 6.0], [3, 1, 3]) == (3.5, 2.0)


def test_equal_values_have_no_error() -> None:
    assert bootstrap([0.25] * 9) == Estimate(mean=0.25, standard_error=0.0)


def test_the_error_scales_with_the_values_and_is_the_same_at_every_call() -> None:
    once, doubled = bootstrap([1.0, 2.0, 5.0]), bootstrap([2.0, 4.0, 10.0])
    assert doubled.standard_error == pytest.approx(2 * once.standard_error)
    assert bootstrap([1.0, 2.0, 5.0]) == once


def test_an_estimate_reads_as_value_and_error() -> None:
    assert str(Estimate(mean=-0.01234, standard_error=0.002)) == "-0.0123 ± 0.0020"
