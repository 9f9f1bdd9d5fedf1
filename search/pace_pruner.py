"""Ends a trial that could not become the best even if it went on improving as fast as now."""

from __future__ import annotations

from optuna.pruners import BasePruner
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState


class PacePruner(BasePruner):
    """Compares where a trial is heading with the best that any trial has reached, at whatever image count.

    Halving at equal images drops slow learners, whose learning rate is low, for fast ones that end no better. A
    learning curve flattens, so a straight line through its last two values is more than it can reach (an optimistic
    case of extrapolation; Domhan et al. 2015 do it with probabilities): a trial is only ended for what it cannot win.

    Args:
        horizon_images: the most images that one trial sees.
    """

    def __init__(self, horizon_images: int) -> None:
        self._horizon = horizon_images

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        """Whether the line through the trial's last two values ends below the best; it begins at the base model's 0."""
        return self._reach(trial.intermediate_values) < _best(study)

    def _reach(self, values: dict[int, float]) -> float:
        points = sorted({0: 0.0, **values}.items())
        (earlier, before), (now, value) = points[-2:]
        return value + max(0.0, value - before) / (now - earlier) * (self._horizon - now)


def _best(study: Study) -> float:
    states = (TrialState.RUNNING, TrialState.COMPLETE, TrialState.PRUNED)
    found = study.get_trials(deepcopy=False, states=states)
    values = [max(t.intermediate_values.values()) for t in found if _counts(t)]
    return max(values, default=float("-inf"))


def _counts(trial: FrozenTrial) -> bool:
    return bool(trial.intermediate_values) and trial.user_attrs.get("feasible") is not False
