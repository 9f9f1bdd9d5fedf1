"""By what checkpoints are compared, and which may win (pure)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Self

from pydantic import BaseModel, ConfigDict

from evaluation.metrics.table import directions
from evaluation.scorecard import ScoreCard
from search.objective import Measurement, combine, shares, weighted
from search.pareto import front
from search.selection import Candidate
from search.trial import Reason
from studies.spec.guards import GuardsSection
from studies.spec.sections import ConfirmSection
from studies.spec.study_file import StudySpec
from studies.study.trial import Checkpoint


class Rule(BaseModel):
    """The study file's weights and guards, with the units that metrics are weighed in."""

    model_config = ConfigDict(frozen=True)

    weights: dict[str, float]
    """How much each metric counts, by name."""
    guards: GuardsSection
    confirm: ConfirmSection
    """How finalists are judged again, and what is given away for an earlier checkpoint or a recipe."""
    units: dict[str, float]
    """What one unit of each metric is: the way from the base model to the real images, or some noises."""

    @classmethod
    def of(cls, spec: StudySpec, units: Mapping[str, float] | None = None) -> Self:
        """That of a study file; without units it compares nothing yet."""
        return cls(weights=spec.objective, guards=spec.guards, confirm=spec.confirm, units=dict(units or {}))

    @property
    def asked(self) -> tuple[dict[str, float], GuardsSection, ConfirmSection]:
        """What a person asked for, apart from what was measured."""
        return self.weights, self.guards, self.confirm

    def objective(self, scores: ScoreCard) -> Measurement:
        """The figure by which checkpoints are compared; higher is better, 0 is the base model."""
        return combine(self.differences(scores), self.units, self.weights, directions())

    def differences(self, scores: ScoreCard) -> dict[str, Measurement]:
        """The metrics that were measured, in the search's terms.

        Where an error is unknown, as that of a single render, a whole unit stands for it.
        """
        return {
            name: Measurement(
                e.mean, e.standard_error if math.isfinite(e.standard_error) else self._unit(name)
            )
            for name, e in scores.differences().items()
        }

    def candidate(self, checkpoint: Checkpoint, scores: ScoreCard | None = None) -> Candidate:
        """A checkpoint as the choice sees it.

        Args:
            checkpoint: that may win.
            scores: fresher ones than it has.
        """
        found = scores or checkpoint.scores
        return Candidate(
            trial=checkpoint.trial,
            epoch=checkpoint.epoch,
            images_seen=checkpoint.images_seen,
            rank=checkpoint.rank,
            objective=self.objective(found),
            scores=self.differences(found),
            cells=weighted(found.cells(), self.units, self.weights, directions()),
            barred=self.guards.barred(_with_training(found, checkpoint)),
        )

    def candidates(self, checkpoints: Iterable[Checkpoint]) -> list[Candidate]:
        """Every usable checkpoint."""
        return [self.candidate(one) for one in checkpoints if one.scores.unusable is None]

    def all_barred(self, checkpoints: Sequence[Checkpoint]) -> Reason | None:
        """Why no checkpoint of a trial may win, told of its last one; None if one may."""
        reasons = [self.guards.barred(one.scores) for one in checkpoints]
        last = reasons[-1] if reasons and all(reasons) else None
        return Reason("barred", {"by": last.code, **last.values}) if last else None

    def shares(self, everyone: Iterable[Candidate]) -> dict[str, float]:
        """Each weighted metric's share in the differences between candidates."""
        return shares([one.scores for one in everyone], self.units, self.weights, directions())

    def front(self, everyone: list[Candidate]) -> list[Candidate]:
        """The candidates that no other beats in every weighted metric; in all that were measured where one weighs."""
        return front(everyone, self._compared(everyone), directions())

    def _compared(self, everyone: list[Candidate]) -> list[str]:
        weighing = [name for name, weight in self.weights.items() if weight > 0]
        everywhere = set.intersection(*(set(candidate.scores) for candidate in everyone))
        return weighing if len(weighing) > 1 else sorted(everywhere)

    def _unit(self, name: str) -> float:
        return self.units.get(name, math.inf)


def _with_training(scores: ScoreCard, checkpoint: Checkpoint) -> ScoreCard:
    """Fresh scores with the checkpoint's own on training images, which are not measured again."""
    if scores.training is not None:
        return scores
    return scores.model_copy(update={"training": checkpoint.scores.training})
