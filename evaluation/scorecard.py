"""What the judge says of one checkpoint."""

from __future__ import annotations

import math
from typing import Any

from pydantic import BaseModel, ConfigDict

from evaluation.intervals import Estimate


class ScoreCard(BaseModel):
    """Scores of one checkpoint, each relative to the base model on the same cells, prompts and seeds."""

    model_config = ConfigDict(frozen=True)

    validation: Estimate
    """Mean log(L / L_base) over held-out images; negative is better."""
    validation_by_timestep: tuple[float, ...]
    """The same for each stratum of the noise schedule, clean to noisy."""
    validation_by_image: tuple[float, ...]
    """The same for each held-out image, in data set order."""
    training: Estimate | None
    """The same over a few training images; far below ``validation`` means overfitting."""
    clip_image: Estimate | None
    """Mean rise of image-image similarity to the held-out images, in points of 100."""
    clip_text: Estimate | None
    """Mean rise of text-image similarity to the prompts, in points of 100."""
    clip_image_by_prompt: tuple[float, ...] | None = None
    """The rise of image-image similarity of each render, in the order of prompts and seeds."""
    clip_text_by_prompt: tuple[float, ...] | None = None
    clip_image_value: float | None
    """Image-image similarity itself, -100 to 100."""
    clip_text_value: float | None
    broken: int
    """Renders that are NaN, black or constant."""
    renders: int

    @property
    def unusable(self) -> str | None:
        """Why no one would want this checkpoint, or None."""
        if not math.isfinite(self.validation.mean):
            return "the validation loss is NaN or infinite"
        if self.renders and self.broken * 2 > self.renders:
            return f"{self.broken} of {self.renders} renders are black, constant or NaN"
        return None

    def differences(self) -> dict[str, Estimate]:
        """Every metric that was measured, as a difference to the base model."""
        found = {"validation": self.validation, "clip_image": self.clip_image, "clip_text": self.clip_text}
        return {name: estimate for name, estimate in found.items() if estimate is not None}

    def cells(self) -> dict[str, tuple[float, ...]]:
        """The single values behind ``differences``: one a validation image, one a render."""
        found = {
            "validation": self.validation_by_image,
            "clip_image": self.clip_image_by_prompt,
            "clip_text": self.clip_text_by_prompt,
        }
        return {name: values for name, values in found.items() if values is not None}

    def plain(self) -> dict[str, Any]:
        """JSON values."""
        return self.model_dump(mode="json")
