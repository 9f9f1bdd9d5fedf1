"""What bars a checkpoint from winning, however high its objective: the study file's [guards] (pure)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from evaluation.intervals import Estimate
from evaluation.scorecard import ScoreCard
from studies.text.i18n import ENGLISH, Translator
from trainer.plans.fields import field, means

Points = Annotated[float, Field(ge=0)] | Literal["off"]


class GuardsSection(BaseModel):
    """[guards]"""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    memorisation: Points = field(0.0, means(unit="points of 100"))
    """Points of 100 by which a checkpoint's memorisation may exceed the base model's, or "off". It must also lie
    above 0, where renders are nearer to training images than to images never trained on: a base model that
    happens to draw like some held-out image lies far below 0."""
    flexibility: Points = field(5.0, means(unit="points of 100"))
    """Points of 100 by which prompts outside the data set may be followed less well than by the base, or "off"."""
    standard_errors: float = field(2.0, means(unit="standard errors"), ge=0)
    """What is beyond these points by fewer standard errors may be noise, and bars nothing."""

    @property
    def rule(self) -> str:
        """The guards in words; empty where all are off."""
        return self.told(ENGLISH)

    def told(self, say: Translator) -> str:
        """The guards in the words of a language; empty where all are off."""
        told = []
        if self.memorisation != "off":
            told.append(
                say(
                    "its memorisation exceeds 0, and the base model's by more than {points} points",
                    points=f"{self.memorisation:g}",
                )
                if self.memorisation
                else say("its memorisation exceeds 0, and the base model's")
            )
        if self.flexibility != "off":
            told.append(
                say(
                    "it follows prompts outside the data set less well than the base model by more than {points} "
                    "points (where measured: last checkpoints and finalists)",
                    points=f"{self.flexibility:g}",
                )
                if self.flexibility
                else say(
                    "it follows prompts outside the data set less well than the base model (where measured: last "
                    "checkpoints and finalists)"
                )
            )
        if not told:
            return ""
        return say(
            "A checkpoint is barred if {conditions}, each beyond {errors} standard errors; a barred one wins only "
            "where all are, which is said then.",
            conditions=say(", or if ").join(told),
            errors=f"{self.standard_errors:g}",
        )

    def barred(self, scores: ScoreCard, say: Translator = ENGLISH) -> str | None:
        """Why a checkpoint may not win; None if it may, or if nothing was measured that bars it."""
        reasons = [self._copies(scores, say), self._forgets(scores, say)]
        return say(" and ").join(reason for reason in reasons if reason) or None

    def _copies(self, scores: ScoreCard, say: Translator) -> str | None:
        rise, level = scores.memorisation, scores.memorisation_level
        if self.memorisation == "off" or rise is None or level is None:
            return None
        if min(self._beyond(rise.mean - self.memorisation, rise), self._beyond(level.mean, level)) <= 0:
            return None
        return say(
            "memorisation is {level} points, {rise} above the base model's",
            level=f"{level.mean:.1f} ± {level.standard_error:.1f}",
            rise=f"{rise.mean:.1f} ± {rise.standard_error:.1f}",
        )

    def _forgets(self, scores: ScoreCard, say: Translator) -> str | None:
        found = scores.flexibility
        if self.flexibility == "off" or found is None:
            return None
        if self._beyond(-found.mean - self.flexibility, found) <= 0:
            return None
        return say(
            "prompts outside the data set are followed {points} points less well than by the base model",
            points=f"{-found.mean:.1f} ± {found.standard_error:.1f}",
        )

    def _beyond(self, points: float, found: Estimate) -> float:
        """What noise does not explain."""
        return points - self.standard_errors * found.standard_error
