"""What a folder of images holds, as far as a study file depends on it."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass
from pathlib import Path

from studies.commands.subject_of import Guess, subject_of
from studies.commands.trigger import Trigger, trigger
from studies.spec.image_folders import data_plan, is_flat
from trainer.data.buckets import Size
from trainer.data.dataset import Dataset, read

_SHARES = (0.15, 0.15)
_TAGS = 4
"""Median number of comma-separated parts from which on captions are called tag lists."""
_SQUARE = 1.05
"""Aspect ratios up to this, or its inverse, count as square."""


@dataclass(frozen=True, slots=True)
class Survey:
    """Counted and measured."""

    folder: Path
    flat: bool
    """Whether the images lie in the folder itself, without ``N_name`` sub-folders."""
    images: int
    cards: int
    """Training images, each as often as its folder asks in lowest terms: what an epoch of one repeat shows."""
    train: int
    sizes: tuple[Size, ...]
    """Of every image, in pixels."""
    captions: tuple[str, ...]
    captioned: int
    """Images with a caption file."""
    held_out: tuple[str, ...]
    """Captions of the images that will validate, and then of those that train, each once."""
    warnings: tuple[str, ...]

    @property
    def median_side(self) -> int:
        """Square root of the median area, in pixels."""
        return round(statistics.median(math.sqrt(w * h) for w, h in self.sizes))

    @property
    def ratios(self) -> tuple[float, float]:
        """The narrowest and the widest picture, as width over height."""
        found = [w / h for w, h in self.sizes]
        return min(found), max(found)

    @property
    def square(self) -> bool:
        """Whether all pictures are about square."""
        low, high = self.ratios
        return low >= 1 / _SQUARE and high <= _SQUARE

    @property
    def trigger(self) -> Trigger | None:
        """What stands in most captions."""
        return trigger(self.captions)

    @property
    def subject(self) -> Guess:
        """What the pictures are of, as their captions tell."""
        return subject_of(self.captions)

    @property
    def tagged(self) -> bool:
        """Whether captions are lists of tags rather than sentences."""
        return statistics.median(caption.count(",") + 1 for caption in self.captions) >= _TAGS


def survey(folder: Path, resolution: int, seed: int) -> Survey:
    """Reads every image and caption of a folder.

    Args:
        folder: with ``N_name`` sub-folders, or with the images just so.
        resolution: side of the training square in pixels, for what is said of small images.
        seed: of the split.

    Raises:
        DataError: with every problem found.
    """
    with data_plan([folder], resolution) as plan:
        dataset = read(plan, _SHARES, seed)
    return Survey(
        folder=folder,
        flat=is_flat(folder),
        images=len(dataset.together),
        cards=len(dataset.deck.cards),
        train=dataset.different(dataset.split.train),
        sizes=tuple(example.size for example in dataset.examples),
        captions=tuple(example.caption for example in dataset.examples),
        captioned=sum(example.captioned for example in dataset.examples),
        held_out=_held_out(dataset),
        warnings=dataset.warnings,
    )


def _held_out(dataset: Dataset) -> tuple[str, ...]:
    order = (*dataset.split.validation, *dataset.split.train)
    return tuple(dict.fromkeys(caption for i in order if (caption := dataset.examples[i].caption)))
