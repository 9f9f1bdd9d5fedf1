"""Several cards of one plan as one (pure)."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from evaluation.intervals import Estimate, bootstrap, clustered
from evaluation.scorecard import Measured, ScoreCard


def pooled(cards: Sequence[ScoreCard]) -> ScoreCard:
    """Cards that were measured on different images and prompts, as one over all of them.

    Args:
        cards: of trainings that differ only in what they held out, each judged on that; what not all have is
            left out.
    """
    prompts = _renumbered([card.prompt_of_render for card in cards])
    images = tuple(value for card in cards for value in card.validation_by_image)
    return ScoreCard(
        metrics={
            "validation": Measured(difference=bootstrap(images), cells=images),
            **{name: _pooled([card.metrics[name] for card in cards], prompts) for name in _pictured(cards)},
        },
        validation_by_timestep=_means([card.validation_by_timestep for card in cards]),
        training=_mean_of([card.training for card in cards]),
        prompt_of_render=prompts,
        nearest_training=_joined([card.nearest_training for card in cards]),
        broken=sum(card.broken for card in cards),
        renders=sum(card.renders for card in cards),
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
    again = {name: _repeated([card.metrics[name] for card in cards], first) for name in _pictured(cards)}
    return first.model_copy(
        update={
            "metrics": {
                **first.metrics,
                "validation": Measured(difference=bootstrap(images), cells=images),
                **again,
            },
            "validation_by_timestep": _means([card.validation_by_timestep for card in cards]),
            "broken": sum(card.broken for card in cards),
            "renders": sum(card.renders for card in cards),
        }
    )


def _pictured(cards: Sequence[ScoreCard]) -> list[str]:
    """The metrics of renders that all cards have, cell by cell."""
    return [
        name
        for name in cards[0].metrics
        if name != "validation" and all(name in card.metrics and card.metrics[name].cells for card in cards)
    ]


def _pooled(parts: Sequence[Measured], prompts: tuple[int, ...]) -> Measured:
    """One metric over all prompts of all cards."""
    cells = tuple(value for part in parts for value in part.cells)
    owners = prompts if len(cells) == len(prompts) else range(len(cells))
    return Measured(
        difference=clustered(cells, owners),
        cells=cells,
        value=_mean([part.value for part in parts], [len(part.cells) for part in parts]),
        base=_mean([part.base for part in parts]),
        level=_mean_of([part.level for part in parts]),
    )


def _repeated(parts: Sequence[Measured], first: ScoreCard) -> Measured:
    cells = _means([part.cells for part in parts])
    return Measured(
        difference=clustered(cells, first.owners(cells)),
        cells=cells,
        value=_mean([part.value for part in parts]),
        base=_mean([part.base for part in parts]),
        level=_mean_of([part.level for part in parts], independent=False),
    )


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


def _mean(values: Sequence[float | None], weights: Sequence[int] | None = None) -> float | None:
    """The mean of single figures; None unless all are known."""
    known = [value for value in values if value is not None]
    return statistics.fmean(known, weights) if known and len(known) == len(values) else None


def _mean_of(estimates: Sequence[Estimate | None], independent: bool = True) -> Estimate | None:
    """The mean of several means; None unless all were measured."""
    known = [estimate for estimate in estimates if estimate is not None]
    if not known or len(known) < len(estimates):
        return None
    errors = [estimate.standard_error for estimate in known]
    error = math.hypot(*errors) / len(errors) if independent else max(errors)
    return Estimate(mean=statistics.fmean(estimate.mean for estimate in known), standard_error=error)
