"""How much training a plan and a study mean, counted before anything starts (pure)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import product

from pydantic import ValidationError

from search.trial import Value
from studies.fields import extremes
from studies.planning import Planner
from trainer.data.dataset import Dataset
from trainer.data.stream import images_per_epoch, steps_per_epoch
from trainer.plan import TrainingPlan

_RHYTHM = ("data.repeats", "data.epochs", "data.batch_size", "optimiser.gradient_accumulation")
"""Fields that decide how many steps a trial takes."""

Span = tuple[int, int]
"""The smallest and the largest value among all trials."""


@dataclass(frozen=True, slots=True)
class Amount:
    """One trial that is trained to its end."""

    images_per_epoch: int
    """Images seen: training images x repeats."""
    steps_per_epoch: int
    """Optimiser steps; the last batch of a bucket may be smaller."""
    epochs: int
    """Each writes a checkpoint."""
    repeats: int
    batch_size: int

    @property
    def images(self) -> int:
        """Images seen in all."""
        return self.images_per_epoch * self.epochs

    @property
    def steps(self) -> int:
        """Optimiser steps in all."""
        return self.steps_per_epoch * self.epochs


def amount(plan: TrainingPlan, dataset: Dataset) -> Amount:
    """Counts one trial."""
    dataset, data = dataset.fold(plan.data.fold), plan.data
    steps = steps_per_epoch(
        dataset.deck, dataset.sizes, data.repeats, data.batch_size, plan.optimiser.gradient_accumulation
    )
    repeats = data.repeats or dataset.deck.repeats
    return Amount(images_per_epoch(dataset.deck, data.repeats), steps, data.epochs, repeats, data.batch_size)


def amounts(planner: Planner) -> list[Amount]:
    """Every rhythm that a trial of the study may have, at the ends of ranges."""
    parameters = planner.spec.space.parameters
    names = [name for name in _RHYTHM if name in parameters]
    found: dict[Amount, None] = {}
    for values in product(*(extremes(parameters[name]) for name in names)):
        chosen: dict[str, Value] = dict(zip(names, values, strict=True))
        try:
            plan = planner.plan(chosen)
        except ValidationError:
            continue
        found[amount(plan, planner.dataset)] = None
    return list(found) or [amount(planner.plan({}), planner.dataset)]


def span(found: Sequence[Amount], of: Callable[[Amount], int]) -> Span:
    """The smallest and the largest."""
    values = [of(one) for one in found]
    return min(values), max(values)


def written(one: Iterable[int]) -> str:
    """A span as people write it: one number where both ends are equal."""
    low, high = one
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"
