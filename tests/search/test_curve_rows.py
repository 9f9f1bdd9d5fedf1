from __future__ import annotations

import pytest
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from search.curve_rows import RATE, CurveRows

SPACE: dict[str, BaseDistribution] = {
    RATE: FloatDistribution(1e-5, 1e-3, log=True),
    "lora.rank": IntDistribution(4, 64, log=True),
    "optimiser.name": CategoricalDistribution(["adamw", "lion"]),
}


def test_a_row_is_trial_time_dose_and_places_in_the_ranges() -> None:
    """Rate 1e-3 is a decade above the middle 1e-4; 100 of 1000 images are a decade before the horizon."""
    rows = CurveRows(SPACE, 1000).of(3, {RATE: 1e-3, "lora.rank": 16, "optimiser.name": "lion"}, [100, 1000])
    assert rows.tolist() == [
        pytest.approx([3, -1.0, 0.0, 0.5, 0.0, 0.5, 1.0]),
        pytest.approx([3, 0.0, 1.0, 0.5, 0.0, 0.5, 1.0]),
    ]


def test_equal_rate_times_images_is_an_equal_dose() -> None:
    rows = CurveRows(SPACE, 1000)
    slow, fast = rows.of(0, {RATE: 1e-5}, [1000]), rows.of(0, {RATE: 1e-4}, [100])
    assert slow[0, 2] == pytest.approx(fast[0, 2])


def test_an_absent_number_stands_in_the_middle_and_an_absent_choice_nowhere() -> None:
    rows = CurveRows(SPACE, 1000).of(0, {}, [1000])
    assert rows.tolist() == [[0, 0, 0, 0.5, 0, 0, 0.5]]
