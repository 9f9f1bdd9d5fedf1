"""How long a study will take, by hand."""

from __future__ import annotations

import pytest

from search.trial import State
from studies.commands.status import Limit, TrialStatus, seconds_left, trial_status
from tests.studies import made


def trial(state: State, images: int) -> TrialStatus:
    return trial_status(made.trial(0, state, [-0.1])).model_copy(update={"images_seen": images})


def limit(limit: float, spent: float, left: float) -> Limit:
    return Limit(limit=limit, spent=spent, left=left)


TRIALS = [trial("finished", 600), trial("pruned", 200), trial("running", 100)]
LEFT = {"trials": limit(10, 3, 7)}


def test_trials_to_come_are_as_long_as_those_that_ended() -> None:
    """400 images a trial: 7 of them and 300 of the running one, at 900 images in 90 s."""
    assert seconds_left(TRIALS, LEFT, 90.0, 80.0, 600) == pytest.approx((7 * 400 + 300) / 10)


def test_before_any_trial_has_ended_the_horizon_stands_for_it() -> None:
    assert seconds_left([trial("running", 100)], LEFT, 10.0, 0.0, 600) == pytest.approx((7 * 600 + 500) / 10)


def test_the_nearest_limit_counts() -> None:
    budget = LEFT | {"minutes": limit(4, 2, 2.0), "images": limit(5900, 900, 5000)}
    assert seconds_left(TRIALS, budget, 90.0, 80.0, 600) == 120
    assert seconds_left(
        TRIALS, budget | {"gpu_seconds": limit(120, 80, 40.0)}, 90.0, 80.0, 600
    ) == pytest.approx(45)


def test_nothing_is_told_before_anything_has_happened() -> None:
    assert seconds_left([], LEFT, 0.0, 0.0, 600) is None


def test_images_of_every_fold_are_spent_and_left_alike() -> None:
    """Half of the budget took 10 s, though one run of each trial saw only a fifth of these images."""
    images = {"images": limit(1000, 500, 500)}
    assert seconds_left([trial("running", 100)], images, 10.0, 0.0, 600) == pytest.approx(10)
