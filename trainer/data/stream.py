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
    """What one slot trains on in one step; all its images share a size."""

    presentations: tuple[int, ...]
    """Position of each image in the study-wide order; seeds its timestep and noise."""
    examples: tuple[int, ...]
    """Index of each image in the data set."""
    size: Size


@dataclass(frozen=True, slots=True)
class Deck:
    """The cards that are dealt: training examples, each as often as its folder asks, lowest terms."""

    cards: tuple[int, ...]
    repeats: int
    """How often an epoch deals the whole deck when the plan does not say."""


def deck(examples: Sequence[int], repeats: Sequence[int]) -> Deck:
    """Folders with 20 and 30 repeats become cards in the ratio 2 : 3 and 10 repeats of the deck."""
    common = math.gcd(*repeats)
    cards = [i for i, n in zip(examples, repeats, strict=True) for _ in range(n // common)]
    return Deck(tuple(cards), common)


def images_per_epoch(cards: Deck, repeats: int | None) -> int:
    """Images seen in one epoch."""
    return len(cards.cards) * (repeats or cards.repeats)


def epoch_batches(
    cards: Deck, sizes: Sequence[Size], epoch: int, repeats: int | None, batch_size: int, seed: int
) -> tuple[Batch, ...]:
    """All batches of an epoch, in order.

    Images are dealt by presentation index, which does not depend on repeats or batch size; each goes to the
    open batch of its size, and a batch leaves when it is full or the epoch ends.

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


@lru_cache(maxsize=64)
def _order(count: int, seed: int, deal: int) -> tuple[int, ...]:
    return tuple(torch.randperm(count, generator=generator(seed, "deal", deal)).tolist())
