from __future__ import annotations

from typing import Any

import pytest
from optuna.distributions import FloatDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from search.importance import MINIMUM_TRIALS, importances

UNIT = FloatDistribution(0, 1)


def trial(
    x: float, y: float, objective: float | None, state: TrialState, feasible: bool = True
) -> FrozenTrial:
    attributes: dict[str, Any] = {"feasible": feasible, "objective": objective}
    value = 0.0 if state == TrialState.COMPLETE else None
    return create_trial(
        state=state,
        value=value,
        params={"x": x, "y": y},
        distributions={"x": UNIT, "y": UNIT},
        user_attrs=attributes,
    )


def trials(count: int) -> list[FrozenTrial]:
    """x decides, y does not; only every fourth was trained to the end."""
    found = []
    for i in range(count):
        state = TrialState.PRUNED if i % 4 else TrialState.COMPLETE
        x = i / count
        found.append(trial(x, (i * 7 % count) / count, x, state))
    return found


def test_the_parameter_that_decides_comes_first() -> None:
    shares = importances(trials(40))
    assert list(shares) == ["x", "y"]
    assert shares["x"] > 0.6
    assert sum(shares.values()) == pytest.approx(1)


def test_few_trials_say_nothing() -> None:
    assert importances(trials(MINIMUM_TRIALS - 1)) == {}


def test_infeasible_and_running_trials_do_not_count() -> None:
    some = trials(MINIMUM_TRIALS - 1)
    some.append(trial(0.5, 0.5, None, TrialState.COMPLETE, feasible=False))
    some.append(trial(0.5, 0.5, None, TrialState.RUNNING))
    assert importances(some) == {}
