"""The order in which images are presented: the same for every trial of a study (pure)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch

from trainer.data.buckets import Size
from trainer.seeds import generator


@dataclass(frozen=True, slots=True)
class Batch:
    """What one slot trains on in one step; all its images are brought to one size."""

    presentations: tuple[int, ...]
    """Position of each image in the study-wide order; seeds its timestep and noise.

    The regularisation image that goes with position p has -1 - p: a draw of its own.
    """
    examples: tuple[int, ...]
    """Index of each image in the data set."""
    size: Size

    @property
    def training(self) -> int:
        """How many of them are training images; these alone count as images seen."""
        return sum(presentation >= 0 for presentation in self.presentations)


@dataclass(frozen=True, slots=True)
class Deck:
    """The cards that are dealt: training examples, each as often as its folder asks, lowest terms."""

    cards: tuple[int, ...]
    repeats: int
    """How often an epoch deals the whole deck when the plan does not say."""
    regularisation: tuple[int, ...] = ()
    """Regularisation examples, each as often as its folder asks, lowest terms; empty if there are none."""


def deck(examples: Sequence[int], repeats: Sequence[int]) -> Deck:
    """Folders with 20 and 30 repeats become cards in the ratio 2 : 3 and 10 repeats of the deck."""
    return Deck(lowest_terms(examples, repeats), math.gcd(*repeats))


def lowest_terms(examples: Sequence[int], repeats: Sequence[int]) -> tuple[int, ...]:
    """Each example as often as its repeats ask, divided by what all repeats have in common."""
    common = math.gcd(*repeats)
    return tuple(i for i, n in zip(examples, repeats, strict=True) for _ in range(n // common))


def images_per_epoch(cards: Deck, repeats: int | None) -> int:
    """Images seen in one epoch: training images alone, so that fidelity means the same in every study."""
    return len(cards.cards) * (repeats or cards.repeats)


def epoch_batches(
    cards: Deck, sizes: Sequence[Size], epoch: int, repeats: int | None, batch_size: int, seed: int
) -> tuple[Batch, ...]:
    """All batches of an epoch, in order.

    Images are dealt by presentation index, which does not depend on repeats or batch size; each goes to the
    open batch of its size, and a batch leaves when it is full or the epoch ends. With every training image
    comes one regularisation image, brought to the same size, in the same batch and beyond the batch size: an
    epoch shows as many of them as training images, and takes no more steps.

    Args:
        cards: what is dealt.
        sizes: bucket of every example, by example index.
        epoch: 0 for the first.
        repeats: deals of the deck per epoch, None for the folders' own.
        batch_size: images per batch.
        seed: study seed.
    """
    count = images_per_epoch(cards, repeats)
    waiting: dict[Size, list[tuple[int, int]]] = {}
    batches: list[Batch] = []
    for presentation in range(epoch * count, (epoch + 1) * count):
        deal, place = divmod(presentation, len(cards.cards))
        example = cards.cards[_order(len(cards.cards), seed, deal)[place]]
        row = waiting.setdefault(sizes[example], [])
        row.append((presentation, example))
        if len(row) == batch_size:
            batches.append(_batch(waiting.pop(sizes[example]), sizes[example]))
    batches += [_batch(row, size) for size, row in waiting.items()]
    if cards.regularisation:
        return tuple(_accompanied(batch, cards, sizes, seed) for batch in batches)
    return tuple(batches)


def steps_per_epoch(
    cards: Deck, sizes: Sequence[Size], repeats: int | None, batch_size: int, accumulation: int = 1
) -> int:
    """Optimiser steps in one epoch: every bucket's last batch may be smaller, and so may the last window.

    Args:
        cards: what is dealt.
        sizes: bucket of every example, by example index.
        repeats: deals of the deck per epoch, None for the folders' own.
        batch_size: images per batch.
        accumulation: batches per optimiser step.
    """
    times = repeats or cards.repeats
    counts: dict[Size, int] = {}
    for example in cards.cards:
        counts[sizes[example]] = counts.get(sizes[example], 0) + times
    batches = sum(math.ceil(count / batch_size) for count in counts.values())
    return math.ceil(batches / accumulation)


def _batch(row: list[tuple[int, int]], size: Size) -> Batch:
    return Batch(tuple(p for p, _ in row), tuple(e for _, e in row), size)


def _accompanied(batch: Batch, cards: Deck, sizes: Sequence[Size], seed: int) -> Batch:
    partners = tuple(_partner(p, batch.size, cards, sizes, seed) for p in batch.presentations)
    others = tuple(-1 - p for p in batch.presentations)
    return Batch(batch.presentations + others, batch.examples + partners, batch.size)


def _partner(presentation: int, size: Size, cards: Deck, sizes: Sequence[Size], seed: int) -> int:
    """The regularisation example beside a training image: one of its size, if there are any.

    They are dealt by the count of earlier presentations of that size, so that each is shown once before any
    is shown twice.
    """
    fitting = tuple(i for i in cards.regularisation if sizes[i] == size) or cards.regularisation
    deal, place = divmod(presentation, len(cards.cards))
    alike = [sizes[i] == size for i in cards.cards]
    order = _order(len(cards.cards), seed, deal)
    before = deal * sum(alike) + sum(alike[i] for i in order[:place])
    deal, place = divmod(before, len(fitting))
    return fitting[_order(len(fitting), seed, deal, "regularisation")[place]]


@lru_cache(maxsize=64)
def _order(count: int, seed: int, deal: int, kind: str = "deal") -> tuple[int, ...]:
    return tuple(torch.randperm(count, generator=generator(seed, kind, deal)).tolist())
