"""Score cards, checkpoints and trials by a line each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from evaluation.intervals import Estimate
from evaluation.scorecard import Measured, ScoreCard
from search.trial import State, Value
from studies.study.trial import Checkpoint, Trial


def card(validation: float, error: float = 0.01, **rises: tuple[float, float]) -> ScoreCard:
    """A card with mean and standard error of validation and of other metrics."""
    known = {"validation": (validation, error), **rises}
    return ScoreCard(
        metrics={
            name: Measured(difference=Estimate(mean=mean, standard_error=e), cells=(mean,))
            for name, (mean, e) in known.items()
        },
        validation_by_timestep=(validation,),
        training=None,
        broken=0,
        renders=0,
    )


def checkpoint(trial: int, epoch: int, scores: ScoreCard, **facts: Any) -> Checkpoint:
    """A checkpoint after 100 images an epoch, whose objective is how far validation fell."""
    known = {"objective": -scores.validation.mean, "images_seen": 100 * epoch, "rank": 4, "file": "x"}
    return Checkpoint(trial=trial, epoch=epoch, scores=scores, **(known | facts))


def trial(number: int, state: State, means: Sequence[float], **values: Value) -> Trial:
    """A trial with a checkpoint for each mean log ratio."""
    found = (checkpoint(number, epoch, card(mean)) for epoch, mean in enumerate(means, start=1))
    return Trial(number, values, state, tuple(found))
