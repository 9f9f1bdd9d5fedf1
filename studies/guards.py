"""What bars a checkpoint from winning, however high its objective: the study file's [guards] (pure)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from evaluation.intervals import Estimate
from evaluation.scorecard import ScoreCard

BARRED = "a guard bars every checkpoint"
"""How the reason begins of a trial that may not win."""
Points = Annotated[float, Field(ge=0)] | Literal["off"]


class GuardsSection(BaseModel):
    """[guards]"""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    memorisation: Points = 0.0
    """Points of 100 by which a checkpoint's memorisation may exceed the base model's, or "off". It must also lie
    above 0, where renders are nearer to training images than to images never trained on: a base model that
    happens to draw like some held-out image lies far below 0."""
    flexibility: Points = 5.0
    """Points of 100 by which prompts outside the data set may be followed less well than by the base, or "off"."""
    standard_errors: float = Field(2.0, ge=0)
    """What is beyond these points by fewer standard errors may be noise, and bars nothing."""

    @property
    def rule(self) -> str:
        """The guards in words; empty where all are off."""
        told = []
        if self.memorisation != "off":
            told.append(f"its memorisation exceeds 0, and the base model's{_by(self.memorisation)}")
        if self.flexibility != "off":
            told.append(
                "it follows prompts outside the data set less well than the base model"
                f"{_by(self.flexibility)} (where measured: last checkpoints and finalists)"
            )
        if not told:
            return ""
        return (
            f"A checkpoint is barred if {', or if '.join(told)}, each beyond {self.standard_errors:g} standard "
            "errors; a barred one wins only where all are, which is said then."
        )

    def barred(self, scores: ScoreCard) -> str | None:
        """Why a checkpoint may not win; None if it may, or if nothing was measured that bars it."""
        reasons = [self._copies(scores), self._forgets(scores)]
        return " and ".join(reason for reason in reasons if reason) or None

    def _copies(self, scores: ScoreCard) -> str | None:
        rise, level = scores.memorisation, scores.memorisation_level
        if self.memorisation == "off" or rise is None or level is None:
            return None
        if min(self._beyond(rise.mean - self.memorisation, rise), self._beyond(level.mean, level)) <= 0:
            return None
        return (
            f"memorisation is {level.mean:.1f} ± {level.standard_error:.1f} points, "
            f"{rise.mean:.1f} ± {rise.standard_error:.1f} above the base model's"
        )

    def _forgets(self, scores: ScoreCard) -> str | None:
        found = scores.flexibility
        if self.flexibility == "off" or found is None:
            return None
        if self._beyond(-found.mean - self.flexibility, found) <= 0:
            return None
        return (
            f"prompts outside the data set are followed {-found.mean:.1f} ± {found.standard_error:.1f} points "
            "less well than by the base model"
        )

    def _beyond(self, points: float, found: Estimate) -> float:
        """What noise does not explain."""
        return points - self.standard_errors * found.standard_error


def _by(points: float) -> str:
    return f" by more than {points:g} points" if points else ""
