"""From raw readings of a subject and of the base model to a card (pure)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from evaluation.image_scores import Renders
from evaluation.intervals import bootstrap, by_owner, clustered
from evaluation.metrics import log_ratio
from evaluation.metrics.broken import broken
from evaluation.metrics.table import METRICS
from evaluation.scorecard import Measured, ScoreCard


@dataclass(frozen=True, slots=True)
class Readings:
    """Raw measurements of some subjects."""

    losses: Tensor
    """Shape (subjects, held-out images, timesteps)."""
    seen_losses: Tensor
    """Shape (subjects, seen images, timesteps)."""
    renders: Tensor
    """Shape (subjects, renders, 3, height, width), in [0, 1]."""
    figures: Mapping[str, Tensor]
    """Metrics of renders by name; shape (subjects, renders), or (subjects, prompts)."""
    nearest: Tensor | None
    """The training example that each render is most like, shape (subjects, renders)."""


def figures(renders: Renders, outside: bool = False) -> dict[str, Tensor]:
    """Every metric that can be measured on renders, by name.

    Args:
        renders: of some subjects.
        outside: whether they show prompts outside the data set, which other metrics are for.
    """
    return {
        name: values
        for name, metric in METRICS.items()
        if metric.measure and metric.outside == outside and (values := metric.measure(renders)) is not None
    }


def card(readings: Readings, base: Readings, i: int, prompts: Sequence[int]) -> ScoreCard:
    """What is said of subject ``i``.

    Args:
        readings: of some subjects.
        base: the bare base model's on the same cells, prompts and seeds.
        i: which subject.
        prompts: the prompt that each render shows, as a number.
    """
    ratio = log_ratio.log_ratio(readings.losses[i], base.losses[0])
    seen = log_ratio.log_ratio(readings.seen_losses[i], base.seen_losses[0])
    pictures = readings.renders[i]
    images = [image for image in range(len(ratio)) for _ in range(ratio.shape[1])]
    validation = Measured(
        difference=clustered(ratio.flatten().tolist(), images),
        cells=tuple(log_ratio.by_image(ratio).tolist()),
    )
    compared = {
        name: compare(name, values[i].tolist(), base.figures[name][0].tolist(), prompts)
        for name, values in readings.figures.items()
    }
    return ScoreCard(
        metrics={"validation": validation, **compared},
        validation_by_timestep=tuple(log_ratio.by_timestep(ratio).tolist()),
        training=bootstrap(log_ratio.by_image(seen).tolist()) if len(seen) else None,
        broken=int(broken(pictures).sum()) if len(pictures) else 0,
        renders=len(pictures),
        prompt_of_render=tuple(prompts),
        nearest_training=None if readings.nearest is None else tuple(readings.nearest[i].tolist()),
    )


def compare(name: str, values: Sequence[float], base: Sequence[float], prompts: Sequence[int]) -> Measured:
    """One metric of one subject: the paired difference to the base with its error, and the values.

    Args:
        name: of the metric.
        values: one a render or prompt.
        base: the bare base model's, in the same order.
        prompts: the prompt that each render shows; where there are as many values as renders, they belong to them.
    """
    owners = prompts if len(values) == len(prompts) else range(len(values))
    rises = tuple(value - bare for value, bare in zip(values, base, strict=True))
    return Measured(
        difference=clustered(rises, owners),
        cells=rises,
        value=_mean(values, owners),
        base=_mean(base, owners),
        level=clustered(values, owners) if METRICS[name].level else None,
    )


def ways(base: Readings, references: Tensor) -> dict[str, float]:
    """How far the base model's pictures are from the real ones, by each metric that real ones can be measured in.

    Args:
        base: the bare base model's readings.
        references: the held-out images in the encoder's space, shape (images, width).
    """
    ideals = {name: METRICS[name].ideal for name in base.figures}
    return {
        name: ideal(references) - float(base.figures[name][0].mean())
        for name, ideal in ideals.items()
        if ideal is not None
    }


def _mean(values: Sequence[float], owners: Sequence[int]) -> float:
    found = by_owner(values, owners)
    return sum(found) / len(found)
