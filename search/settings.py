"""What a study file says about its search."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, model_validator

from search.budget import Budget
from search.lessons import Lesson
from search.patience import Patience
from search.pruners import PrunerSettings, grid
from search.samplers import sampler_problem
from search.trial import Value


class SearchSettings(BaseModel):
    """How to search.

    Attributes:
        sampler: one of `search.samplers.SAMPLERS`.
        pruner: which trials are stopped early.
        budget: when to ask for no more trials.
        patience: when a trial, and when the search, is not worth going on with.
        horizon_images: the most images that any trial sees; the pruner's comparisons lie below it.
        runs: trained side by side for each trial, such as one for each fold; images count for each.
        first: known-good recipes to try first, perhaps partial; the sampler fills the rest.
        counts: with what an ended trial counts for the sampler: the best that it reached, or its forecast optimum.
        lessons: trials of earlier studies that the sampler is shown, once it no longer draws at random.
        baselines: how many of these are trained to the horizon whatever becomes of them, to be compared with.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    sampler: str = "tpe"
    pruner: PrunerSettings
    budget: Budget
    patience: Patience = Patience()
    horizon_images: int
    runs: int = 1
    first: tuple[dict[str, Value], ...] = ()
    counts: Literal["reached", "forecast"] = "reached"
    lessons: tuple[Lesson, ...] = ()
    baselines: int = 0

    @property
    def forecasts(self) -> bool:
        """Whether anything is decided by the curve model."""
        return self.pruner.name == "forecast" or self.counts == "forecast" or self.patience.gain > 0

    @model_validator(mode="after")
    def _check(self) -> SearchSettings:
        problems = [problem] if (problem := sampler_problem(self.sampler)) else []
        if self.horizon_images < 1:
            problems.append(f"horizon_images must be at least 1, but got {self.horizon_images}.")
        elif self.pruner.name != "none" and not grid(self.pruner, self.horizon_images):
            first, last = self.pruner.min_images, self.horizon_images
            problems.append(f"pruner.min_images must be below horizon_images ({last}), but got {first}.")
        if problems:
            raise ValueError("\n".join(problems))
        return self
