"""Several cards of one plan as one (pure)."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import Any

from evaluation.intervals import Estimate, bootstrap, clustered
from evaluation.scorecard import METRICS, ScoreCard


def pooled(cards: Sequence[ScoreCard]) -> ScoreCard:
    """Cards that were measured on different images and prompts, as one over all of them.

    Args:
        cards: of trainings that differ only in what they held out, each judged on that; all have the same
            metrics.
    """
    images = [value for card in cards for value in card.validation_by_image]
    facts: dict[str, Any] = {}
    for name in METRICS[1:]:
        if all(getattr(card, f"{name}_by_prompt") is not None for card in cards):
            facts |= _metric(name, cards)
    levels = [card.memorisation_level for card in cards]
    return ScoreCard(
        validation=bootstrap(images),
        validation_by_timestep=_means([card.validation_by_timestep for card in cards]),
        validation_by_image=tuple(images),
        training=_mean_of([card.training for card in cards]),
        memorisation_level=_mean_of(levels),
        base_values=_base_values(cards),
        prompt_of_render=_renumbered([card.prompt_of_render for card in cards]),
        nearest_training=_joined([card.nearest_training for card in cards]),
        broken=sum(card.broken for card in cards),
        renders=sum(card.renders for card in cards),
        **facts,
    )


def repeated(cards: Sequence[ScoreCard]) -> ScoreCard:
    """Cards of one checkpoint on the same images and prompts with other noise and seeds: cell by cell the mean.

    Args:
        cards: all with the same metrics and cells, at least one.
    """
    first = cards[0]
    if len(cards) == 1:
        return first
    images = _means([card.validation_by_image for card in cards])
    facts: dict[str, Any] = {}
    for name in METRICS[1:]:
        cells = [getattr(card, f"{name}_by_prompt") for card in cards]
        if all(values is not None for values in cells):
            means = _means(cells)
            owners = (
                first.prompt_of_render if len(means) == len(first.prompt_of_render) else range(len(means))
            )
            facts |= {
                name: clustered(means, owners),
                f"{name}_by_prompt": means,
                f"{name}_value": statistics.fmean(getattr(card, f"{name}_value") for card in cards),
            }
    return first.model_copy(
        update={
            "validation": bootstrap(images),
            "validation_by_timestep": _means([card.validation_by_timestep for card in cards]),
            "validation_by_image": images,
            "memorisation_level": _mean_of([card.memorisation_level for card in cards], independent=False),
            "base_values": _base_values(cards),
            "broken": sum(card.broken for card in cards),
            "renders": sum(card.renders for card in cards),
            **facts,
        }
    )


def _metric(name: str, cards: Sequence[ScoreCard]) -> dict[str, Any]:
    """One metric over all prompts of all cards."""
    cells = [getattr(card, f"{name}_by_prompt") for card in cards]
    values = [value for part in cells for value in part]
    rendered = sum(len(card.prompt_of_render) for card in cards)
    renumbered = _renumbered([card.prompt_of_render for card in cards])
    owners = renumbered if len(values) == rendered else range(len(values))
    weights = [len(part) for part in cells]
    figures = [getattr(card, f"{name}_value") for card in cards]
    return {
        name: clustered(values, owners),
        f"{name}_by_prompt": tuple(values),
        f"{name}_value": statistics.fmean(figures, weights),
    }


def _renumbered(parts: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
    """Prompt numbers of several cards, so that no two cards share one."""
    found: list[int] = []
    for part in parts:
        after = max(found, default=-1) + 1
        found += [after + number for number in part]
    return tuple(found)


def _joined(parts: Sequence[tuple[int, ...] | None]) -> tuple[int, ...] | None:
    known = [part for part in parts if part is not None]
    return tuple(index for part in known for index in part) if len(known) == len(parts) else None


def _means(rows: Sequence[Sequence[float]]) -> tuple[float, ...]:
    return tuple(statistics.fmean(column) for column in zip(*rows, strict=True))


def _mean_of(estimates: Sequence[Estimate | None], independent: bool = True) -> Estimate | None:
    """The mean of several means; None unless all were measured."""
    known = [estimate for estimate in estimates if estimate is not None]
    if not known or len(known) < len(estimates):
        return None
    errors = [estimate.standard_error for estimate in known]
    error = math.hypot(*errors) / len(errors) if independent else max(errors)
    return Estimate(mean=statistics.fmean(estimate.mean for estimate in known), standard_error=error)


def _base_values(cards: Sequence[ScoreCard]) -> dict[str, float]:
    names = set.intersection(*(set(card.base_values) for card in cards))
    return {name: statistics.fmean(card.base_values[name] for card in cards) for name in sorted(names)}
