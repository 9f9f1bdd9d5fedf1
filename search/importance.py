"""Which parameters decided how good a trial became."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import optuna
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from optuna.trial import FrozenTrial

from search.pruned_as_finished import as_finished

MINIMUM_TRIALS = 4
"""Fewer say nothing."""


def importances(trials: Sequence[FrozenTrial]) -> dict[str, float]:
    """Shares by parameter, most important first, adding up to 1.

    PED-ANOVA (Watanabe et al. 2023, arXiv 2304.10255): how far the distribution of a parameter among the best
    tenth of the trials (at least two) differs from its distribution among all.

    Args:
        trials: those that are feasible and have ended with an `objective` in their user attributes count.

    Returns:
        A share for each parameter that took at least two values; empty with fewer than `MINIMUM_TRIALS`
        trials or where nothing varies.
    """
    usable = [t for t in trials if t.user_attrs.get("feasible") and t.user_attrs.get("objective") is not None]
    if len(usable) < MINIMUM_TRIALS:
        return {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        study = optuna.create_study(direction="maximize")
        study.add_trials([as_finished(trial) for trial in usable])
        found = get_param_importances(study, evaluator=PedAnovaImportanceEvaluator())
    total = sum(found.values())
    return {name: share / total for name, share in found.items()} if total > 0 else {}
