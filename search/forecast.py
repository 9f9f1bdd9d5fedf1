"""The curve model of a study, made from Optuna's trials."""

from __future__ import annotations

import math
from collections.abc import Sequence

from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState

from search.curve_model import Curve, CurveModel, enough
from search.curve_rows import CurveRows
from search.record import to_record
from search.trial import Point

_TEACH = (TrialState.RUNNING, TrialState.COMPLETE, TrialState.PRUNED)


def fitted(trials: Sequence[FrozenTrial], horizon_images: int) -> CurveModel | None:
    """The curve model of a study; None where it has too few checkpoints.

    Args:
        trials: all of the study.
        horizon_images: the most images that one trial sees.
    """
    known = curves_of(trials)
    if not enough(known):
        return None
    distributions: dict[str, BaseDistribution] = {}
    for trial in trials:
        distributions |= trial.distributions
    return CurveModel(known, CurveRows(distributions, horizon_images))


def curves_of(trials: Sequence[FrozenTrial]) -> list[Curve]:
    """Those of the trials that teach something: infeasible and failed ones and those without checkpoints do not."""
    usable = [t for t in trials if t.state in _TEACH and t.user_attrs.get("feasible") is not False]
    return [curve for curve in map(curve_of, usable) if curve.points]


def curve_of(trial: FrozenTrial) -> Curve:
    """A trial's checkpoints; where it has no cards, the values that were reported of it."""
    told = to_record(trial).curve or tuple(
        Point(seen, value)
        for seen, value in sorted(trial.intermediate_values.items())
        if math.isfinite(value)
    )
    return Curve(trial.number, dict(trial.params), tuple(point for point in told if point.images_seen > 0))
