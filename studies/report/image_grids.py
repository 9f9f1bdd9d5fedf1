"""The report's pictures: the winner's grid, finalists side by side, renders beside training images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from evaluation.scorecard import ScoreCard
from studies import images as pictures
from studies.images import data_uri
from studies.selection.document import Finalist
from studies.study.study import Study
from studies.study.trial import Checkpoint, Trial
from trainer.data import images
from trainer.data.buckets import fit
from trainer.data.dataset import Dataset
from trainer.data.images import DataError

MOST_PAIRS = 8
"""Pairs of render and training image; the most alike are the ones to judge."""


@dataclass(frozen=True)
class Evidence:
    """What a person can judge by eye, as ``data:`` URIs."""

    study: Study
    champion: Trial

    @cached_property
    def prompts(self) -> tuple[str, ...]:
        """The prompt of every picture of a strip."""
        return self.study.prompts

    @cached_property
    def base(self) -> list[str]:
        """The base model's strip."""
        return pictures.tiles(self.study.workspace.base_renders, len(self.prompts))

    def strip(self, trial: int, epoch: int) -> list[str]:
        """A checkpoint's strip; empty where it has none."""
        return pictures.tiles(self.study.workspace.renders(trial, epoch), len(self.prompts))

    def grid(self) -> CheckpointGrid:
        """The winner's trial: the base, every epoch, the held-out images."""
        rows = [(one, self.strip(one.trial, one.epoch)) for one in self.champion.checkpoints]
        return CheckpointGrid(
            prompts=self.prompts,
            base=self.base,
            rows=[Row(checkpoint, tiles) for checkpoint, tiles in rows if tiles],
            originals=[original(self.study.dataset, i) for i in self.study.originals],
        )

    def side_by_side(self, finalists: Sequence[Finalist]) -> SideBySide | None:
        """A row a prompt, a column a finalist, the base first; None where fewer than two have pictures."""
        found = [(f, self.strip(f.trial, f.epoch)) for f in finalists]
        found = [(finalist, tiles) for finalist, tiles in found if tiles]
        if len(found) < 2:
            return None
        strips = [*([self.base] if self.base else []), *(tiles for _, tiles in found)]
        return SideBySide(
            has_base=bool(self.base),
            finalists=[finalist for finalist, _ in found],
            rows=[(prompt, [strip[i] for strip in strips]) for i, prompt in enumerate(self.prompts)],
        )

    def pairs(self, checkpoint: Checkpoint) -> list[Pair]:
        """Renders of the winner's checkpoint beside the training image that each is most like."""
        tiles = self.strip(checkpoint.trial, checkpoint.epoch)
        return pairs(checkpoint.scores, tiles, self.prompts, self.study.dataset)


@dataclass(frozen=True, slots=True)
class Row:
    """A checkpoint's pictures, one a prompt."""

    checkpoint: Checkpoint
    tiles: list[str]


@dataclass(frozen=True, slots=True)
class CheckpointGrid:
    """What checkpoints draw, prompt by prompt."""

    prompts: Sequence[str]
    base: list[str]
    rows: list[Row]
    originals: list[str | None]
    """The held-out image whose caption each prompt is."""


@dataclass(frozen=True, slots=True)
class SideBySide:
    """Finalists' pictures in columns."""

    has_base: bool
    finalists: list[Finalist]
    rows: list[tuple[str, list[str]]]


@dataclass(frozen=True, slots=True)
class Pair:
    """A render beside the training image that it is most like."""

    render: str
    original: str
    prompt: str
    name: str
    rise: float | None
    """How much more it leans to training images than the base model's render, in points; None where unknown."""


def pairs(scores: ScoreCard, tiles: Sequence[str], prompts: Sequence[str], dataset: Dataset) -> list[Pair]:
    """Renders beside the training image that each is most like, the most alike first.

    Args:
        scores: of the checkpoint that drew them.
        tiles: its renders, as ``data:`` URIs.
        prompts: of each render.
        dataset: with the training images.
    """
    nearest = scores.nearest_training or ()
    leaning = scores.metrics.get("memorisation")
    rises = leaning.cells if leaning else ()
    if not nearest or len(tiles) != len(nearest):
        return []
    known = len(rises) == len(nearest)
    order = sorted(range(len(nearest)), key=lambda i: -rises[i]) if known else range(len(nearest))
    return [
        Pair(tiles[i], shown, prompts[i], dataset.examples[nearest[i]].path.name, rises[i] if known else None)
        for i in order
        if 0 <= nearest[i] < len(dataset.examples) and (shown := original(dataset, nearest[i]))
    ][:MOST_PAIRS]


def original(dataset: Dataset, index: int) -> str | None:
    """An image of the data set as the model would see it; None if it has moved away."""
    try:
        picture = images.open_rgb(dataset.examples[index].path)
    except DataError:
        return None
    return data_uri(fit(picture, dataset.sizes[index]))
