"""Ends a trial that has hardly a chance of ever holding the best checkpoint, by the curves of all trials."""

from __future__ import annotations

from collections.abc import Sequence

from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from search.curve_model import Curve
from search.forecast import curve_of, curves_of, fitted
from search.pace_pruner import PacePruner
from search.trial import Reason

LEAST_CHANCE = 0.05
"""Below it a trial ends."""
FEWEST_OTHERS = 3
"""Other trials with checkpoints before the curve model ends any."""


class ForecastPruner(PacePruner):
    """Ends what could not win even at its present pace, and what the curve model gives too small a chance.

    The chance is that something still to come of the trial exceeds all that others have reached. The trial that leads
    goes on.

    Args:
        horizon_images: the most images that one trial sees.
    """

    def __init__(self, horizon_images: int) -> None:
        super().__init__(horizon_images)
        self.reason: Reason | None = None
        """Why the curve model ended the trial that was asked about last; None if it did not."""
        self._asked: object = None

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        """Whether the trial ends."""
        if super().prune(study, trial):
            self.reason, self._asked = None, None
            return True
        states = (TrialState.RUNNING, TrialState.COMPLETE, TrialState.PRUNED)
        trials = study.get_trials(deepcopy=False, states=states)
        known = curves_of(trials)
        asked = trial.number, [(one.trial, one.points) for one in known]
        if asked != self._asked:  # several image counts may lie between two checkpoints
            self.reason, self._asked = self._hopeless(trials, known, curve_of(trial)), asked
        return self.reason is not None

    def _hopeless(self, trials: Sequence[FrozenTrial], known: Sequence[Curve], own: Curve) -> Reason | None:
        best = [max(p.objective for p in one.points) for one in known if one.trial != own.trial]
        if len(best) < FEWEST_OTHERS or not own.points:
            return None
        if max(point.objective for point in own.points) >= max(best):
            return None
        model = fitted(trials, self._horizon)
        if model is None or (found := model.forecast(own)).chance >= LEAST_CHANCE:
            return None
        return Reason(
            "forecast_hopeless",
            {
                "chance": found.chance,
                "expected": found.best,
                "low": found.low,
                "high": found.high,
                "images": found.images_seen,
                "best": max(best),
            },
        )
