"""From raw readings of a subject and of the base model to a card (pure)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from evaluation.intervals import bootstrap, by_owner, clustered
from evaluation.metrics import log_ratio
from evaluation.metrics.broken import broken
from evaluation.scorecard import ScoreCard


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
    """Metrics of renders by name; shape (subjects, renders), of diversity (subjects, prompts)."""
    nearest: Tensor | None
    """The training example that each render is most like, shape (subjects, renders)."""


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
    facts: dict[str, Any] = {"base_values": {}}
    for name, values in readings.figures.items():
        owners = prompts if values.shape[1] == len(prompts) else range(values.shape[1])
        facts |= compared(name, values[i].tolist(), base.figures[name][0].tolist(), owners)
        facts["base_values"] |= {name: _mean(base.figures[name][0].tolist(), owners)}
        if name == "memorisation":
            facts["memorisation_level"] = clustered(values[i].tolist(), owners)
    return ScoreCard(
        validation=clustered(ratio.flatten().tolist(), images),
        validation_by_timestep=tuple(log_ratio.by_timestep(ratio).tolist()),
        validation_by_image=tuple(log_ratio.by_image(ratio).tolist()),
        training=bootstrap(log_ratio.by_image(seen).tolist()) if len(seen) else None,
        broken=int(broken(pictures).sum()) if len(pictures) else 0,
        renders=len(pictures),
        prompt_of_render=tuple(prompts),
        nearest_training=None if readings.nearest is None else tuple(readings.nearest[i].tolist()),
        **facts,
    )


def compared(
    name: str, values: Sequence[float], base: Sequence[float], owners: Sequence[int]
) -> dict[str, Any]:
    """A card's fields for one metric: the paired difference to the base with its error, and the value."""
    rises = tuple(value - bare for value, bare in zip(values, base, strict=True))
    return {
        name: clustered(rises, owners),
        f"{name}_by_prompt": rises,
        f"{name}_value": _mean(values, owners),
    }


def _mean(values: Sequence[float], owners: Sequence[int]) -> float:
    found = by_owner(values, owners)
    return sum(found) / len(found)
