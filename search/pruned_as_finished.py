"""What a sampler learns from: every trial that ended, by the best that it reached."""

from __future__ import annotations

import copy
from collections.abc import Container, Mapping, Sequence
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.storages import BaseStorage
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from search.lessons import Lesson, as_trials


class FromAll(BaseSampler):
    """Shows a sampler pruned trials as finished ones with what they reached; made anew for each trial.

    Optuna's TPE ranks any finished trial above every pruned one, and its Gaussian process does not see pruned ones at
    all. Where most trials are pruned, a poor recipe that ran to its end then passes for the best that is known.

    Args:
        inner: draws the values.
        forecast: whether ended trials count with their forecast optimum in place of what they reached, where there is
            one.
        lessons: of earlier studies, shown beside the study's own trials.
    """

    def __init__(self, inner: BaseSampler, forecast: bool = False, lessons: Sequence[Lesson] = ()) -> None:
        self._inner, self._forecast, self._earlier = inner, forecast, lessons
        self._lessons: Study | None = None

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """As the inner sampler does."""
        return self._inner.infer_relative_search_space(self._told(study), trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """As the inner sampler does."""
        return self._inner.sample_relative(self._told(study), trial, search_space)

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """As the inner sampler does."""
        return self._inner.sample_independent(self._told(study), trial, param_name, param_distribution)

    def _told(self, study: Study) -> Study:
        if self._lessons is None:
            self._lessons = copy.copy(study)
            self._lessons._storage = _Told(study._storage, self._forecast, self._earlier)  # type: ignore[assignment]
        return self._lessons


class _Told:
    """A storage whose pruned trials are read as finished ones."""

    def __init__(self, behind: BaseStorage, forecast: bool, lessons: Sequence[Lesson]) -> None:
        self._behind, self._forecast, self._lessons = behind, forecast, lessons
        self._ended: dict[int, FrozenTrial] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._behind, name)

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        """As the storage has them, but for the pruned ones."""
        found = [self._read(trial) for trial in self._behind.get_all_trials(study_id, deepcopy=deepcopy)]
        found = [*as_trials(self._lessons, found), *found]
        return [trial for trial in found if states is None or trial.state in states]

    def _read(self, trial: FrozenTrial) -> FrozenTrial:
        if not trial.state.is_finished():
            return trial
        told = as_finished(trial)
        return self._ended.setdefault(trial.number, as_forecast(told) if self._forecast else told)


def as_finished(trial: FrozenTrial) -> FrozenTrial:
    """A pruned trial as if it had finished with its objective; any other as it is."""
    attributes: Mapping[str, Any] = trial.user_attrs
    if trial.state is not TrialState.PRUNED or attributes.get("objective") is None:
        return trial
    told = copy.copy(trial)
    told.state, told.value = TrialState.COMPLETE, attributes["objective"]
    return told


def as_forecast(trial: FrozenTrial) -> FrozenTrial:
    """A finished, feasible trial with the optimum that was forecast of it; any other as it is."""
    forecast = trial.user_attrs.get("forecast")
    if trial.state is not TrialState.COMPLETE or not forecast or not trial.user_attrs.get("feasible"):
        return trial
    told = copy.copy(trial)
    told.value = float(forecast["best"])
    return told
