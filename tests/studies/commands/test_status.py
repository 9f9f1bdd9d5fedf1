"""How long a study will take, by hand."""

from __future__ import annotations

from typing import Any

import pytest

from studies.commands.status import seconds_left


def trial(state: str, images: int) -> dict[str, Any]:
    return {"state": state, "images_seen": images}


TRIALS = [trial("finished", 600), trial("pruned", 200), trial("running", 100)]
LEFT = {"trials": {"limit": 10, "spent": 3, "left": 7}}


def test_trials_to_come_are_as_long_as_those_that_ended() -> None:
    """400 images a trial: 7 of them and 300 of the running one, at 900 images in 90 s."""
    assert seconds_left(TRIALS, LEFT, 90.0, 80.0, 600) == pytest.approx((7 * 400 + 300) / 10)


def test_before_any_trial_has_ended_the_horizon_stands_for_it() -> None:
    assert seconds_left([trial("running", 100)], LEFT, 10.0, 0.0, 600) == pytest.approx((7 * 600 + 500) / 10)


def test_the_nearest_limit_counts() -> None:
    budget = LEFT | {"minutes": {"left": 2.0}, "images": {"spent": 900, "left": 5000}}
    assert seconds_left(TRIALS, budget, 90.0, 80.0, 600) == 120
    assert seconds_left(TRIALS, budget | {"gpu_seconds": {"left": 40.0}}, 90.0, 80.0, 600) == pytest.approx(
        45
    )


def test_nothing_is_told_before_anything_has_happened() -> None:
    assert seconds_left([], LEFT, 0.0, 0.0, 600) is None


def test_images_of_every_fold_are_spent_and_left_alike() -> None:
    """Half of the budget took 10 s, though one run of each trial saw only a fifth of these images."""
    images = {"images": {"limit": 1000, "spent": 500, "left": 500}}
    assert seconds_left([trial("running", 100)], images, 10.0, 0.0, 600) == pytest.approx(10)
