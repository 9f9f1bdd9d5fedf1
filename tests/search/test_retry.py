from __future__ import annotations

from typing import Any

import pytest
from optuna.exceptions import StorageInternalError, UpdateFinishedTrialError
from optuna.storages import InMemoryStorage
from optuna.study import StudyDirection
from optuna.trial import TrialState
from sqlalchemy.exc import OperationalError

from search.retry import Endurance, enduring, is_passing


def gone() -> Exception:
    try:
        raise StorageInternalError("commit") from OperationalError(
            "SELECT 1", {}, Exception("connection refused")
        )
    except StorageInternalError as error:
        return error


class Flaky(InMemoryStorage):
    """Fails a few times before, or after, it does what it is asked for."""

    def __init__(self, failures: int, after: bool = False) -> None:
        super().__init__()
        self.failures, self.after = failures, after

    def _fail(self) -> None:
        if self.failures:
            self.failures -= 1
            raise gone()

    def create_new_study(self, *args: Any, **kwargs: Any) -> int:
        self._fail()
        return super().create_new_study(*args, **kwargs)

    def set_trial_state_values(self, *args: Any, **kwargs: Any) -> bool:
        done = super().set_trial_state_values(*args, **kwargs)
        self._fail()
        return done


def test_a_lost_server_is_waited_for_with_growing_pauses() -> None:
    slept: list[float] = []
    told: list[str] = []
    storage = enduring(Flaky(4), Endurance(60, told.append, slept.append))
    assert storage.create_new_study([StudyDirection.MAXIMIZE], "x") == 0
    assert slept == [0.25, 0.5, 1.0, 2.0]
    assert told == ["the study database does not answer; waiting for it"]


def test_patience_ends_after_its_seconds() -> None:
    slept: list[float] = []
    storage = enduring(Flaky(99), Endurance(30, sleep=slept.append))
    with pytest.raises(StorageInternalError):
        storage.create_new_study([StudyDirection.MAXIMIZE], "x")
    assert sum(slept) == pytest.approx(30)
    assert max(slept) <= 10
    with pytest.raises(StorageInternalError):
        storage.create_new_study([StudyDirection.MAXIMIZE], "x")
    assert sum(slept) == pytest.approx(30)


def test_an_end_whose_answer_was_lost_is_not_an_error() -> None:
    flaky = Flaky(0)
    storage = enduring(flaky, Endurance(60, sleep=lambda seconds: None))
    trial = storage.create_new_trial(storage.create_new_study([StudyDirection.MAXIMIZE], "x"))
    flaky.failures = 1
    assert storage.set_trial_state_values(trial, TrialState.COMPLETE, [1.0])
    with pytest.raises(UpdateFinishedTrialError):
        storage.set_trial_state_values(trial, TrialState.COMPLETE, [2.0])


def test_mistakes_are_not_tried_again() -> None:
    storage = enduring(InMemoryStorage(), Endurance(60, sleep=pytest.fail))
    with pytest.raises(KeyError):
        storage.get_study_id_from_name("missing")
    assert not is_passing(KeyError("x"))
    assert is_passing(gone())
