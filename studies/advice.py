"""The guides' rules of thumb, and what they propose for a number of images (pure)."""

from __future__ import annotations

import math
from dataclasses import dataclass

from studies.amount import Amount

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
class Rule:
    """A rule of thumb beside what is planned."""

    rule: str
    planned: str
    met: bool


@dataclass(frozen=True, slots=True)
class Proposal:
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


def propose(images: int, batch_size: int | None = None) -> Proposal:
    """The smallest whole number of repeats over ten epochs that follows the rules of thumb.

    Args:
        images: in the training set.
        batch_size: None takes 1 up to 15 images (the guides' rule), 2 up to 39 and 4 beyond (ours).
    """
    batch = batch_size or next((size for most, size in _BATCHES if images <= most), _LARGEST_BATCH)
    repeats = math.ceil(steps_wanted(images) * batch / (images * EPOCHS))
    return Proposal(images, repeats, EPOCHS, batch)


def rules(images: int, longest: Amount, largest_batch: int) -> list[Rule]:
    """Every rule of thumb that applies.

    Args:
        images: different training images.
        longest: the trial with the most steps.
        largest_batch: of any trial.
    """
    each = longest.steps / images
    found = [
        Rule(f"at least {IMAGES} images", f"{images:,}", images >= IMAGES),
        Rule(
            f"at least {STEPS_PER_IMAGE} steps an image",
            f"{each:.4g} ({longest.steps:,} steps / {images:,} images)",
            each >= STEPS_PER_IMAGE,
        ),
        Rule(f"at least {STEPS:,} steps in all", f"{longest.steps:,}", longest.steps >= STEPS),
    ]
    if IMAGES <= images <= SMALL:
        found.append(
            Rule(f"batch 1 for {IMAGES} to {SMALL} images", f"up to {largest_batch}", largest_batch == 1)
        )
    return found
