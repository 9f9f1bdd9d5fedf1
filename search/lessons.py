"""What a sampler learns from: every trial that ended, by the best that it reached."""

from __future__ import annotations

import copy
from collections.abc import Container, Mapping
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.storages import BaseStorage
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState


class FromAll(BaseSampler):
    """Shows a sampler pruned trials as finished ones with their objective.

    Optuna's TPE ranks any finished trial above every pruned one, and its Gaussian process does not see pruned ones at
    all. Where most trials are pruned, a poor recipe that ran to its end then passes for the best that is known.

    Args:
        inner: draws the values.
    """

    def __init__(self, inner: BaseSampler) -> None:
        self._inner = inner

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """As the inner sampler does."""
        return self._inner.infer_relative_search_space(_lessons(study), trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """As the inner sampler does."""
        return self._inner.sample_relative(_lessons(study), trial, search_space)

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """As the inner sampler does."""
        return self._inner.sample_independent(_lessons(study), trial, param_name, param_distribution)


class _Told:
    """A storage whose pruned trials are read as finished ones."""

    def __init__(self, behind: BaseStorage) -> None:
        self._behind = behind

    def __getattr__(self, name: str) -> Any:
        return getattr(self._behind, name)

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        found = [_finished(trial) for trial in self._behind.get_all_trials(study_id, deepcopy=deepcopy)]
        return [trial for trial in found if states is None or trial.state in states]


def _lessons(study: Study) -> Study:
    view = copy.copy(study)
    view._storage = _Told(study._storage)  # type: ignore[assignment]
    return view


def _finished(trial: FrozenTrial) -> FrozenTrial:
    attributes: Mapping[str, Any] = trial.user_attrs
    if trial.state is not TrialState.PRUNED or attributes.get("objective") is None:
        return trial
    told = copy.copy(trial)
    told.state, told.value = TrialState.COMPLETE, attributes["objective"]
    return told
