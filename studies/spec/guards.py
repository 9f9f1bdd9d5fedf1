"""What bars a checkpoint from winning, however high its objective: the study file's [guards] (pure)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from evaluation.intervals import Estimate
from evaluation.scorecard import ScoreCard
from search.trial import Reason
from trainer.plans.fields import field, means

Points = Annotated[float, Field(ge=0)] | Literal["off"]


class GuardsSection(BaseModel):
    """[guards]"""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    memorisation: Points = field(0.0, means(unit="points of 100"))
    """Points of 100 by which a checkpoint's memorisation may exceed the base model's, or "off". It must also lie
    above 0, where renders are nearer to training images than to images never trained on: a base model that
    happens to draw like some held-out image lies far below 0."""
    training_gap: Points = field("off", means(unit="log ratio"))
    """By how much further the loss may fall on training images than on held-out ones, or "off". It finds what is learnt
    by heart epochs before pictures show it, but bars good files too: winners had gaps up to 1.1."""
    flexibility: Points = field(5.0, means(unit="points of 100"))
    """Points of 100 by which prompts outside the data set may be followed less well than by the base, or "off"."""
    standard_errors: float = field(2.0, means(unit="standard errors"), ge=0)
    """What is beyond these points by fewer standard errors may be noise, and bars nothing."""

    def barred(self, scores: ScoreCard) -> Reason | None:
        """Why a checkpoint may not win; None if it may, or if nothing was measured that bars it."""
        copies, forgets = self._copies(scores), self._forgets(scores)
        if copies and forgets:
            return Reason("copies_and_forgets", {**copies.values, **forgets.values})
        return copies or self._by_heart(scores) or forgets

    def _by_heart(self, scores: ScoreCard) -> Reason | None:
        gap = scores.training_gap
        if self.training_gap == "off" or gap is None or self._beyond(gap.mean - self.training_gap, gap) <= 0:
            return None
        return Reason("learnt_by_heart", {"gap": gap.mean, "gap_error": gap.standard_error})

    def _copies(self, scores: ScoreCard) -> Reason | None:
        found = scores.metrics.get("memorisation")
        rise, level = (found.difference, found.level) if found else (None, None)
        if self.memorisation == "off" or rise is None or level is None:
            return None
        if min(self._beyond(rise.mean - self.memorisation, rise), self._beyond(level.mean, level)) <= 0:
            return None
        return Reason(
            "copies",
            {
                "level": level.mean,
                "level_error": level.standard_error,
                "rise": rise.mean,
                "rise_error": rise.standard_error,
            },
        )

    def _forgets(self, scores: ScoreCard) -> Reason | None:
        found = scores.difference("flexibility")
        if self.flexibility == "off" or found is None:
            return None
        if self._beyond(-found.mean - self.flexibility, found) <= 0:
            return None
        return Reason("forgets", {"loss": -found.mean, "loss_error": found.standard_error})

    def _beyond(self, points: float, found: Estimate) -> float:
        """What noise does not explain."""
        return points - self.standard_errors * found.standard_error
