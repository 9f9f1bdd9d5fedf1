"""How much training the guides ask for, and what a study is warned of (pure)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import product

from pydantic import ValidationError

from search.trial import Value
from studies.spec.plan_fields import extremes
from studies.spec.planner import Planner
from trainer.data.dataset import Dataset
from trainer.data.order import images_per_epoch, steps_per_epoch
from trainer.plan import TrainingPlan

IMAGES = 10
"""Fewest images."""


STEPS_PER_IMAGE = 100


STEPS = 1500
"""Fewest steps in all."""


SMALL = 15
"""Up to so many images, the guides train one at a time."""


EPOCHS = 10
"""What the calculator proposes: a checkpoint to choose from at every tenth."""


_BATCHES = ((SMALL, 1), (39, 2))


_LARGEST_BATCH = 4


@dataclass(frozen=True, slots=True)
class RuleOfThumb:
    """A rule of thumb beside what is planned."""

    rule: str
    planned: str
    met: bool


@dataclass(frozen=True, slots=True)
class Amounts:
    """Repeats, epochs and batch for a number of images."""

    images: int
    repeats: int
    epochs: int
    batch_size: int

    @property
    def images_per_epoch(self) -> int:
        """Images seen in one epoch."""
        return self.images * self.repeats

    @property
    def steps_per_epoch(self) -> int:
        """Optimiser steps of one epoch; the last batch may be smaller."""
        return math.ceil(self.images_per_epoch / self.batch_size)

    @property
    def steps(self) -> int:
        """Optimiser steps in all."""
        return self.steps_per_epoch * self.epochs

    @property
    def arithmetic(self) -> list[str]:
        """How it comes about, line by line."""
        wanted = steps_wanted(self.images)
        return [
            f"steps wanted: the larger of {STEPS:,} and {STEPS_PER_IMAGE} x {self.images} images = {wanted:,}",
            f"repeats: {wanted:,} steps x batch {self.batch_size} / ({self.images} images x {self.epochs} epochs), "
            f"rounded up = {self.repeats}",
            f"an epoch: {self.images} images x {self.repeats} repeats = {self.images_per_epoch:,} images seen, "
            f"/ batch {self.batch_size} = {self.steps_per_epoch:,} steps",
            f"in all: {self.steps_per_epoch:,} steps x {self.epochs} epochs = {self.steps:,} steps, "
            f"{self.images_per_epoch * self.epochs:,} images seen, {self.epochs} checkpoints",
        ]


def steps_wanted(images: int) -> int:
    """The fewest steps that both rules of thumb allow."""
    return max(STEPS, STEPS_PER_IMAGE * images)


def propose(images: int, batch_size: int | None = None) -> Amounts:
    """The smallest whole number of repeats over ten epochs that follows the rules of thumb.

    Args:
        images: in the training set.
        batch_size: None takes 1 up to 15 images (the guides' rule), 2 up to 39 and 4 beyond (ours).
    """
    batch = batch_size or next((size for most, size in _BATCHES if images <= most), _LARGEST_BATCH)
    repeats = math.ceil(steps_wanted(images) * batch / (images * EPOCHS))
    return Amounts(images, repeats, EPOCHS, batch)


def rules(images: int, longest: Amount, largest_batch: int) -> list[RuleOfThumb]:
    """Every rule of thumb that applies.

    Args:
        images: different training images.
        longest: the trial with the most steps.
        largest_batch: of any trial.
    """
    each = longest.steps / images
    found = [
        RuleOfThumb(f"at least {IMAGES} images", f"{images:,}", images >= IMAGES),
        RuleOfThumb(
            f"at least {STEPS_PER_IMAGE} steps an image",
            f"{each:.4g} ({longest.steps:,} steps / {images:,} images)",
            each >= STEPS_PER_IMAGE,
        ),
        RuleOfThumb(f"at least {STEPS:,} steps in all", f"{longest.steps:,}", longest.steps >= STEPS),
    ]
    if IMAGES <= images <= SMALL:
        found.append(
            RuleOfThumb(
                f"batch 1 for {IMAGES} to {SMALL} images", f"up to {largest_batch}", largest_batch == 1
            )
        )
    return found


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
