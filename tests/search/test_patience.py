from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from pydantic import ValidationError

from search.patience import Patience, search_stalled, trial_stalled
from search.trial import Point, State, TrialRecord
from tests.words import sentence_of


def curve(*objectives: float) -> list[Point]:
    return [Point(10 * (i + 1), objective) for i, objective in enumerate(objectives)]


@pytest.mark.parametrize(
    ("objectives", "stalled"),
    [
        ((1.0, 2.0, 3.0), False),
        ((1.0, 3.0, 2.0), False),
        ((1.0, 3.0, 2.0, 2.0), True),
        ((3.0, 1.0, 1.0), True),
        ((3.0, 1.0, 9.0), False),
        ((float("nan"), 3.0, 1.0), False),
    ],
)
def test_a_trial_has_stalled_after_two_checkpoints_below_its_best(
    objectives: tuple[float, ...], stalled: bool
) -> None:
    assert (trial_stalled(curve(*objectives), Patience(checkpoints=2)) is not None) == stalled


def test_the_sentence_names_the_best_checkpoint() -> None:
    assert "after 20 images" in sentence_of(trial_stalled(curve(1, 5, 1, 1), Patience(checkpoints=2)))


def test_nothing_stalls_without_patience() -> None:
    assert trial_stalled(curve(5, 1, 1, 1), Patience()) is None
    assert search_stalled([record(0, 5), record(1, 1)], Patience()) is None


def record(number: int, objective: float, error: float = 0.5, state: State = "finished") -> TrialRecord:
    card = {"epoch": 1, "images_seen": 10, "objective": objective, "objective_error": error}
    ended = datetime(2026, 1, 1) + timedelta(minutes=number) if state != "running" else None
    return TrialRecord(number, {}, state, (card,), (Point(10, objective),), ended=ended)


@pytest.mark.parametrize(
    ("objectives", "stalled"),
    [
        ((1.0, 1.4, 1.2), True),
        ((1.0, 1.4, 1.6), False),
        ((1.0, 1.6, 1.2), False),
        ((1.0, 1.6, 1.2, 1.1), True),
        ((1.0, 1.2), False),
    ],
)
def test_the_search_has_stalled_when_two_trials_gain_no_more_than_the_noise(
    objectives: tuple[float, ...], stalled: bool
) -> None:
    records = [record(i, objective) for i, objective in enumerate(objectives)]
    assert (search_stalled(records, Patience(trials=2)) is not None) == stalled


def test_trials_in_training_count_for_nothing() -> None:
    records = [record(0, 1.0), record(1, 1.0), record(2, 9.0, state="running"), record(3, 1.0)]
    assert search_stalled(records, Patience(trials=2)) is not None


def test_patience_is_never_negative() -> None:
    with pytest.raises(ValidationError):
        Patience(trials=-1)
