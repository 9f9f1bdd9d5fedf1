"""A study's images, read and split once, encoded once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from trainer.bases.conditioning import Framing
from trainer.bases.prompts import WINDOW, PromptRules
from trainer.data import images, quality
from trainer.data.augmentation import View, plain
from trainer.data.buckets import Size, buckets, nearest, own_size
from trainer.data.folders import NO_RULES
from trainer.data.images import DataError, Example, FolderContents
from trainer.data.order import Deck, deck, lowest_terms
from trainer.data.quality import sharpness
from trainer.data.split import Look, Split, folds_for, groups, look, split
from trainer.data.split import folds as split_folds
from trainer.plans.data import DataPlan, LatentCache
from trainer.seeds import derive

WHOLE = -1
"""The fold that holds out nothing but the test side."""


@dataclass(frozen=True, slots=True)
class Handling:
    """How all trials of a study read texts and keep latents."""

    max_token_length: int = 75
    pad_tokens: bool = True
    weighted_captions: bool = False
    restore_emphasis: bool = False
    cache_latents: LatentCache = "disk"

    @property
    def prompts(self) -> PromptRules:
        """How captions and prompts are read."""
        return PromptRules(self.max_token_length // WINDOW, self.weighted_captions, self.restore_emphasis)


@dataclass(frozen=True, slots=True)
class Dataset:
    """Examples, their sides of the split and their training sizes; no tensors, no base model."""

    examples: tuple[Example, ...]
    """Those that are split, then the regularisation images."""
    split: Split
    sizes: tuple[Size, ...]
    """Training size of each example in pixels."""
    warnings: tuple[str, ...]
    fingerprint: str
    """Changes when an image, a caption, a caption rule or a folder's repeats change."""
    regularisation: tuple[int, ...] = ()
    """Indices of the regularisation images; they are on no side of the split."""
    folds: tuple[Split, ...] = ()
    """The splits among which a plan's ``data.fold`` chooses."""
    handling: Handling = Handling()
    together: tuple[tuple[int, ...], ...] = ()
    """Groups of near-duplicates among the examples that are split; none is on two sides."""

    @property
    def own(self) -> tuple[Example, ...]:
        """The examples beside the regularisation images."""
        return self.examples[: len(self.examples) - len(self.regularisation)]

    def different(self, examples: Iterable[int]) -> int:
        """How many different pictures some examples show; what looks alike counts once."""
        some = set(examples)
        return sum(not some.isdisjoint(group) for group in self.together)

    @property
    def deck(self) -> Deck:
        """The training examples as they are dealt, and what accompanies them."""
        train, others = self.split.train, self.regularisation
        dealt = deck(train, [self.examples[i].repeats for i in train])
        return replace(dealt, regularisation=lowest_terms(others, [self.examples[i].repeats for i in others]))

    def fold(self, number: int | None) -> Dataset:
        """The data set with one fold held out for validation; None leaves the split as it is.

        ``WHOLE`` holds out the test side alone.

        Raises:
            DataError: there is no such fold.
        """
        if number is None:
            return self
        if number == WHOLE:
            test = set(self.split.test)
            everyone = (i for group in self.together if test.isdisjoint(group) for i in group)
            return replace(self, split=Split(tuple(sorted(everyone)), (), self.split.test))
        if number >= len(self.folds):
            raise DataError(
                [f"data.fold must be less than the number of folds ({len(self.folds)}), but got {number}."]
            )
        return replace(self, split=self.folds[number])

    def view(self, example: int) -> View:
        """How an example is shown when nothing is drawn: in validation, and without augmentation."""
        return plain(self.examples[example].size, self.sizes[example])


def read(plan: DataPlan, shares: tuple[float, float], seed: int, folds: int | None = 0) -> Dataset:
    """Reads, checks and splits the data set of a study.

    Args:
        plan: where the images are, training sizes, and what all trials share.
        shares: validation and test share.
        seed: study seed.
        folds: also splits into this many folds; 0 for none, None for as many as suit the number of images.

    Raises:
        DataError: with all problems.
    """
    reading = _reading(plan)
    contents = [example.content for example in reading.examples]
    looks, clarity = zip(*(_seen(example) for example in reading.examples), strict=True)
    together = groups(contents, looks)
    try:
        sides = split(contents, together, shares, seed)
        small = folds is None and plan.fold is None
        if small:
            beside_test = sum(set(sides.test).isdisjoint(group) for group in together)
            folds = folds_for(len(together), beside_test)
        folded = split_folds(contents, together, shares, folds, seed) if folds else ()
    except ValueError as error:
        place = plan.folder or plan.concepts or plan.folders[0]
        raise DataError([f"{place}: {error}."]) from error
    examples = reading.examples + reading.regularisation
    sizes = _sizes(plan, examples)
    notes = quality.notes(reading.examples, sizes, together, clarity)
    notes += quality.shared_with(reading.examples, reading.regularisation)
    if small:
        notes += quality.dealt(len(together), len(folded))
    return Dataset(
        examples,
        sides,
        sizes,
        (*reading.warnings, *notes),
        _fingerprint(reading),
        tuple(range(len(reading.examples), len(examples))),
        folded,
        _handling(plan),
        tuple(tuple(group) for group in together),
    )


def _handling(plan: DataPlan) -> Handling:
    return Handling(
        plan.max_token_length,
        plan.pad_tokens,
        plan.weighted_captions,
        plan.restore_emphasis,
        plan.cache_latents,
    )


def _reading(plan: DataPlan) -> FolderContents:
    folders = [folder for folder in (plan.folder, *plan.folders) if folder is not None]
    reading = images.read(folders, plan.concepts, plan.reg_folder)
    if plan.weighs_prior and not reading.regularisation:
        raise DataError(
            [
                f"{plan.concepts}: prior_loss_weight and prior_loss_epochs act only on regularisation images, "
                "but no concept has a class_data_dir."
            ]
        )
    return reading


def _seen(example: Example) -> tuple[Look, float]:
    """What an image looks like, and how sharp it is; one picture at a time is in memory."""
    picture = images.open_rgb(example.path)
    return look(picture), sharpness(picture)


def _fingerprint(reading: FolderContents) -> str:
    """Of what is trained on; where the files lie does not matter."""

    def facts(examples: Sequence[Example]) -> list[tuple[object, ...]]:
        return sorted((e.content, e.caption, e.repeats) for e in examples)

    told: object = facts(reading.examples)
    rules = sorted((e.content, repr(e.rules)) for e in reading.examples if e.rules != NO_RULES)
    if reading.regularisation or rules:
        told = told, facts(reading.regularisation), rules
    return f"{derive(repr(told)):016x}"


def _sizes(plan: DataPlan, examples: Sequence[Example]) -> tuple[Size, ...]:
    if not plan.bucket_no_upscale:
        choices = training_sizes(plan)
        return tuple(nearest(example.size, choices) for example in examples)
    sizes, problems = [], []
    for example in examples:
        try:
            sizes.append(own_size(example.size, plan.resolution, plan.bucket_reso_steps))
        except ValueError as error:
            problems.append(f"{example.path}: {error}; replace it, or set bucket_no_upscale = false.")
    if problems:
        raise DataError(problems)
    return tuple(sizes)


def training_sizes(plan: DataPlan) -> tuple[Size, ...]:
    """The sizes that images may be brought to."""
    if not plan.enable_bucket:
        return ((plan.resolution, plan.resolution),)
    return buckets(plan.resolution, plan.min_bucket_reso, plan.max_bucket_reso, plan.bucket_reso_steps)


Shown = tuple[int, View]
"""An example and how it is shown."""


def framed(view: View) -> Framing:
    """How a view was scaled and cut, as SDXL is told."""
    return Framing(view.original, (view.left, view.top), view.size)


def pixels(image: Image.Image) -> Tensor:
    """An RGB image as (3, height, width) in [-1, 1]."""
    array = np.asarray(image, dtype=np.float32) / 127.5 - 1
    return torch.from_numpy(array).permute(2, 0, 1).contiguous()
