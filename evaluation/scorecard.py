"""What the judge says of one checkpoint."""

from __future__ import annotations

import math
from typing import Any

from pydantic import BaseModel, ConfigDict

from evaluation.intervals import Estimate, by_owner
from trainer.trouble import Trouble

METRICS = ("validation", "clip_image", "clip_text", "diversity", "memorisation", "flexibility")
"""What is compared with the base model."""


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
    clip_image: Estimate | None = None
    """Mean rise of image-image similarity to the held-out images, in points of 100."""
    clip_text: Estimate | None = None
    """Mean rise of text-image similarity to the prompts, in points of 100."""
    diversity: Estimate | None = None
    """Mean rise of the diversity between seeds of one prompt, in points of 100; negative is collapse."""
    memorisation: Estimate | None = None
    """Mean rise of the nearness to training images over that to held-out ones, in points of 100."""
    flexibility: Estimate | None = None
    """Mean rise of text-image similarity on prompts that are not in the data set, in points of 100."""
    clip_image_by_prompt: tuple[float, ...] | None = None
    """The rise of image-image similarity of each render, in the order of prompts and seeds."""
    clip_text_by_prompt: tuple[float, ...] | None = None
    memorisation_by_prompt: tuple[float, ...] | None = None
    diversity_by_prompt: tuple[float, ...] | None = None
    """One a prompt that has several seeds."""
    flexibility_by_prompt: tuple[float, ...] | None = None
    """One a prompt outside the data set."""
    clip_image_value: float | None = None
    """Image-image similarity itself, -100 to 100."""
    clip_text_value: float | None = None
    diversity_value: float | None = None
    """The diversity itself: 0 is mode collapse."""
    memorisation_value: float | None = None
    """Similarity to the nearest training image minus that to the nearest held-out one."""
    memorisation_level: Estimate | None = None
    """The same with its error: above 0, renders are nearer to what was trained on than to what was not."""
    flexibility_value: float | None = None
    base_values: dict[str, float] = {}
    """The base model's own figures of the same kinds, by metric."""
    prompt_of_render: tuple[int, ...] = ()
    """The prompt that each render shows, as a number; empty on old cards, where each stands for itself."""
    nearest_training: tuple[int, ...] | None = None
    """The training image that each render is most like, as its index in the data set."""
    broken: int
    """Renders that are NaN, black or constant."""
    renders: int

    @property
    def unusable(self) -> Trouble | None:
        """Why no one would want this checkpoint, or None."""
        if not math.isfinite(self.validation.mean):
            return Trouble("validation_not_finite")
        if self.renders and self.broken * 2 > self.renders:
            return Trouble("renders_broken", {"broken": self.broken, "renders": self.renders})
        return None

    def differences(self) -> dict[str, Estimate]:
        """Every metric that was measured, as a difference to the base model."""
        found = {name: getattr(self, name) for name in METRICS}
        return {name: estimate for name, estimate in found.items() if estimate is not None}

    def cells(self) -> dict[str, tuple[float, ...]]:
        """The independent values behind ``differences``: one a validation image or a prompt.

        Renders of one prompt are not independent of each other: their mean is one value, unless there is one
        prompt only.
        """
        found = {"validation": self.validation_by_image}
        for name in METRICS[1:]:
            values = getattr(self, f"{name}_by_prompt")
            if values is not None:
                paired = len(values) == len(self.prompt_of_render)
                found[name] = by_owner(values, self.prompt_of_render if paired else range(len(values)))
        return found

    def plain(self) -> dict[str, Any]:
        """JSON values."""
        return self.model_dump(mode="json")
