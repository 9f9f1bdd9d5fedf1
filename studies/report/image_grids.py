"""The report's pictures: the winner's grid, finalists side by side, renders beside training images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from evaluation.scorecard import ScoreCard
from search.trial import TrialRecord
from studies import images as pictures
from studies.images import data_uri
from studies.selection.checkpoint import Card, facts
from studies.study.study import Study
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
    champion: TrialRecord

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

    def grid(self) -> dict[str, Any]:
        """The winner's trial: the base, every epoch, the held-out images."""
        rows = [
            {"card": card, "tiles": self.strip(self.champion.number, card["epoch"])}
            for card in self.champion.cards
        ]
        return {
            "prompts": self.prompts,
            "base": self.base,
            "rows": [row for row in rows if row["tiles"]],
            "originals": [original(self.study.dataset, i) for i in self.study.originals],
        }

    def side_by_side(self, finalists: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """A row a prompt, a column a finalist, the base first; empty where fewer than two have pictures."""
        found = [(f, self.strip(f["trial"], f["epoch"])) for f in finalists]
        found = [(finalist, tiles) for finalist, tiles in found if tiles]
        if len(found) < 2:
            return {}
        strips = [*([self.base] if self.base else []), *(tiles for _, tiles in found)]
        return {
            "has_base": bool(self.base),
            "finalists": [finalist for finalist, _ in found],
            "rows": [
                {"prompt": prompt, "tiles": [strip[i] for strip in strips]}
                for i, prompt in enumerate(self.prompts)
            ],
        }

    def pairs(self, card: Card) -> list[dict[str, Any]]:
        """Renders of a checkpoint beside the training image that each is most like, the most alike first.

        Args:
            card: of the winner's checkpoint.
        """
        tiles = self.strip(self.champion.number, card["epoch"])
        return pairs(facts(card), tiles, self.prompts, self.study.dataset)


def pairs(
    scores: ScoreCard, tiles: Sequence[str], prompts: Sequence[str], dataset: Dataset
) -> list[dict[str, Any]]:
    """Renders beside the training image that each is most like, the most alike first.

    Args:
        scores: of the checkpoint that drew them.
        tiles: its renders, as ``data:`` URIs.
        prompts: of each render.
        dataset: with the training images.
    """
    nearest, rises = scores.nearest_training or (), scores.memorisation_by_prompt or ()
    if not nearest or len(tiles) != len(nearest):
        return []
    known = len(rises) == len(nearest)
    order = sorted(range(len(nearest)), key=lambda i: -rises[i]) if known else range(len(nearest))
    found = [
        {
            "render": tiles[i],
            "original": original(dataset, nearest[i]),
            "prompt": prompts[i],
            "name": dataset.examples[nearest[i]].path.name,
            "rise": rises[i] if known else None,
        }
        for i in order
        if 0 <= nearest[i] < len(dataset.examples)
    ]
    return [pair for pair in found if pair["original"]][:MOST_PAIRS]


def original(dataset: Dataset, index: int) -> str | None:
    """An image of the data set as the model would see it; None if it has moved away."""
    try:
        picture = images.open_rgb(dataset.examples[index].path)
    except DataError:
        return None
    return data_uri(fit(picture, dataset.sizes[index]))
