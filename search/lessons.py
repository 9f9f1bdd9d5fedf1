"""Trials of earlier studies as a sampler is shown them: beside a study's own, on its own scale."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from search.trial import Value

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial

DEEPEST = -2.0
"""How far below its study's median a trial counts at least, in units of the way from the median to the best."""


class Lesson(BaseModel):
    """One trial of an earlier study.

    Attributes:
        values: its parameters.
        standing: where it came to in its study: 1 is the best trial, 0 the median.
    """

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    values: dict[str, Value]
    standing: float


def standings(objectives: Sequence[float]) -> list[float]:
    """Of each trial of a study; all 0 where they do not differ."""
    middle, best = statistics.median(objectives), max(objectives)
    if best == middle:
        return [0.0 for _ in objectives]
    return [max(DEEPEST, (value - middle) / (best - middle)) for value in objectives]


def as_trials(lessons: Sequence[Lesson], own: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """Lessons as finished trials: the best as good as the best of a study's own, the median as its median.

    There are never more of them than of the study's own, evenly from the best to the worst, so that what it finds
    itself outweighs them. A lesson whose parameters are not those of a trial of its own, or lie outside the ranges,
    is left out.

    Args:
        lessons: of earlier studies.
        own: the study's own trials.
    """
    from optuna.trial import TrialState, create_trial

    ended = [t for t in own if t.state is TrialState.COMPLETE and t.value is not None and _feasible(t)]
    if not ended:
        return []
    shapes = [one.distributions for one in ended]
    fitting = [(one, shape) for one in lessons if (shape := _shape(one, shapes)) is not None]
    values = [float(trial.value or 0.0) for trial in ended]
    middle, best = statistics.median(values), max(values)
    ranked = sorted(fitting, key=lambda pair: -pair[0].standing)
    step = max(1, math.ceil(len(ranked) / len(ended)))
    return [
        create_trial(
            params=dict(one.values),
            distributions=dict(shape),
            value=middle + one.standing * (best - middle),
            user_attrs={"feasible": True},
            constraints=dict.fromkeys(ended[0].constraints, 0.0),
        )
        for one, shape in ranked[::step]
    ]


def _feasible(trial: FrozenTrial) -> bool:
    return trial.user_attrs.get("feasible") is not False


def _shape(
    lesson: Lesson, shapes: Sequence[dict[str, BaseDistribution]]
) -> dict[str, BaseDistribution] | None:
    """The distributions of the study's own trials that a lesson's values come from; None if there are none."""
    for shape in shapes:
        if shape.keys() == lesson.values.keys():
            inside = all(_holds(shape[name], value) for name, value in lesson.values.items())
            return shape if inside else None
    return None


def _holds(one: BaseDistribution, value: Value) -> bool:
    try:
        return bool(one._contains(one.to_internal_repr(value)))
    except ValueError:
        return False
