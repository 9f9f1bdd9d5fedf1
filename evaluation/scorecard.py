"""What the judge says of one checkpoint."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator

from evaluation.intervals import Estimate, by_owner
from trainer.trouble import Trouble


class Measured(BaseModel):
    """One metric of one checkpoint against the base model on the same cells, prompts and seeds."""

    model_config = ConfigDict(frozen=True)

    difference: Estimate
    """Mean rise over the base model's figure, in the metric's unit."""
    cells: tuple[float, ...] = ()
    """The rise of each held-out image, render or prompt, in their order."""
    value: float | None = None
    """The figure itself; None where only differences mean something."""
    base: float | None = None
    """The base model's own figure."""
    level: Estimate | None = None
    """The figure itself with its error, where the metric tells it."""


class ScoreCard(BaseModel):
    """Scores of one checkpoint."""

    model_config = ConfigDict(frozen=True)

    metrics: dict[str, Measured]
    """By name, in the order of ``evaluation.metrics.table``; ``validation`` is always there: mean log(L / L_base) over
    held-out images, of which negative is better."""
    validation_by_timestep: tuple[float, ...]
    """Validation for each stratum of the noise schedule, clean to noisy."""
    training: Estimate | None
    """The same as validation over a few training images; far below it means overfitting."""
    prompt_of_render: tuple[int, ...] = ()
    """The prompt that each render shows, as a number; empty on old cards, where each stands for itself."""
    nearest_training: tuple[int, ...] | None = None
    """The training image that each render is most like, as its index in the data set."""
    broken: int
    """Renders that are NaN, black or constant."""
    renders: int

    @model_validator(mode="before")
    @classmethod
    def _before_metrics_were_a_table(cls, stored: Any) -> Any:
        """Reads cards of studies that had a field for each part of each metric."""
        if not isinstance(stored, Mapping) or "metrics" in stored or "validation" not in stored:
            return stored
        return _from_fields(stored)

    @property
    def validation(self) -> Estimate:
        """Mean log(L / L_base) over held-out images; negative is better."""
        return self.metrics["validation"].difference

    @property
    def validation_by_image(self) -> tuple[float, ...]:
        """The same for each held-out image, in data set order."""
        return self.metrics["validation"].cells

    @property
    def unusable(self) -> Trouble | None:
        """Why no one would want this checkpoint, or None."""
        if not math.isfinite(self.validation.mean):
            return Trouble("validation_not_finite")
        if self.renders and self.broken * 2 > self.renders:
            return Trouble("renders_broken", {"broken": self.broken, "renders": self.renders})
        return None

    @property
    def training_gap(self) -> Estimate | None:
        """By how much further the loss fell on training images than on held-out ones; None where none were measured.

        Each image is compared with the base model on the same cells, so that hard images count no more than easy ones:
        0 where both are learnt alike, above 0 where the training images are learnt by heart (membership by loss, Yeom
        et al. 2018). Its error is infinite with one training image.
        """
        if self.training is None:
            return None
        errors = self.validation.standard_error, self.training.standard_error
        return Estimate(mean=self.validation.mean - self.training.mean, standard_error=math.hypot(*errors))

    def difference(self, name: str) -> Estimate | None:
        """A metric's rise over the base model; None where it was not measured."""
        return self.metrics[name].difference if name in self.metrics else None

    def differences(self) -> dict[str, Estimate]:
        """Every metric that was measured, as a difference to the base model."""
        return {name: found.difference for name, found in self.metrics.items()}

    def cells(self) -> dict[str, tuple[float, ...]]:
        """The independent values behind ``differences``: one a validation image or a prompt.

        Renders of one prompt are not independent of each other: their mean is one value, unless there is one
        prompt only.
        """
        return {
            name: found.cells if name == "validation" else by_owner(found.cells, self.owners(found.cells))
            for name, found in self.metrics.items()
            if found.cells
        }

    def owners(self, cells: tuple[float, ...]) -> tuple[int, ...]:
        """The prompt that each of a metric's cells belongs to; its own where cells are no renders."""
        return self.prompt_of_render if len(cells) == len(self.prompt_of_render) else tuple(range(len(cells)))

    def to_json(self) -> dict[str, Any]:
        """JSON values."""
        return self.model_dump(mode="json")


_BEFORE = ("clip_image", "clip_text", "diversity", "memorisation", "flexibility")
"""The metrics that had fields of their own."""


def _from_fields(stored: Mapping[str, Any]) -> dict[str, Any]:
    base = stored.get("base_values") or {}
    metrics: dict[str, Any] = {
        "validation": {
            "difference": stored["validation"],
            "cells": stored.get("validation_by_image") or (),
        }
    }
    for name in _BEFORE:
        if stored.get(name) is not None:
            metrics[name] = {
                "difference": stored[name],
                "cells": stored.get(f"{name}_by_prompt") or (),
                "value": stored.get(f"{name}_value"),
                "base": base.get(name),
                "level": stored.get(f"{name}_level"),
            }
    kept = set(stored) & set(ScoreCard.model_fields)
    return {"metrics": metrics, **{name: stored[name] for name in kept}}
