"""What bars a checkpoint from winning, however high its objective: the study file's [guards] (pure)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from evaluation.scorecard import ScoreCard

Points = Annotated[float, Field(ge=0)] | Literal["off"]


class GuardsSection(BaseModel):
    """[guards]"""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    memorisation: Points = 0.0
    """Points of 100 by which a checkpoint's memorisation may exceed the base model's, or "off"."""
    flexibility: Points = 5.0
    """Points of 100 by which prompts outside the data set may be followed less well than by the base, or "off"."""
    standard_errors: float = Field(2.0, ge=0)
    """What is beyond these points by fewer standard errors may be noise, and bars nothing."""

    @property
    def rule(self) -> str:
        """The guards in words; empty where all are off."""
        told = []
        if self.memorisation != "off":
            told.append(f"its memorisation exceeds the base model's{_by(self.memorisation)}")
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
        found, reasons = scores.memorisation, []
        if self.memorisation != "off" and found is not None:
            excess = found.mean - self.memorisation - self.standard_errors * found.standard_error
            if excess > 0:
                reasons.append(
                    f"memorisation is {found.mean:.1f} ± {found.standard_error:.1f} points above the base model's"
                )
        found = scores.flexibility
        if self.flexibility != "off" and found is not None:
            excess = -found.mean - self.flexibility - self.standard_errors * found.standard_error
            if excess > 0:
                reasons.append(
                    f"prompts outside the data set are followed {-found.mean:.1f} ± "
                    f"{found.standard_error:.1f} points less well than by the base model"
                )
        return " and ".join(reasons) or None


def _by(points: float) -> str:
    return f" by more than {points:g} points" if points else ""
