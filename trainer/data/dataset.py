"""A study's images, read and split once, encoded once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from trainer.base_model import BaseModel
from trainer.bases.conditioning import Conditioning, Framing
from trainer.data import images, quality
from trainer.data.buckets import Size, buckets, nearest, own_size
from trainer.data.caches import TensorCache
from trainer.data.images import DataError, Example, Reading
from trainer.data.quality import sharpness
from trainer.data.sources import NO_RULES
from trainer.data.split import Look, Split, folds_for, groups, look, split
from trainer.data.split import folds as split_folds
from trainer.data.stream import Deck, deck, lowest_terms
from trainer.data.views import View, plain, show
from trainer.plans.data import DataPlan, LatentCache
from trainer.prompts import WINDOW, PromptRules, windows_needed
from trainer.seeds import derive

WHOLE = -1
"""The fold that holds out nothing but the test side."""


@dataclass(frozen=True, slots=True)
class Handling:
    """How all trials of a study read texts and keep latents."""

    max_token_length: int = 75
    pad_tokens: bool = True
    weighted_captions: bool = False
    cache_latents: LatentCache = "disk"


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
            everyone = tuple(sorted(self.split.train + self.split.validation))
            return replace(self, split=Split(everyone, (), self.split.test))
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
            beside_test = sum(group[0] not in sides.test for group in together)
            folds = folds_for(len(contents), beside_test)
        folded = split_folds(contents, together, shares, folds, seed) if folds else ()
    except ValueError as error:
        place = plan.folder or plan.concepts or plan.folders[0]
        raise DataError([f"{place}: {error}."]) from error
    examples = reading.examples + reading.regularisation
    sizes = _sizes(plan, examples)
    notes = quality.notes(reading.examples, sizes, together, clarity)
    notes += quality.shared_with(reading.examples, reading.regularisation)
    if small:
        notes += quality.dealt(len(contents), len(folded))
    return Dataset(
        examples,
        sides,
        sizes,
        (*reading.warnings, *notes),
        _fingerprint(reading),
        tuple(range(len(reading.examples), len(examples))),
        folded,
        Handling(plan.max_token_length, plan.pad_tokens, plan.weighted_captions, plan.cache_latents),
        tuple(tuple(group) for group in together),
    )


def _reading(plan: DataPlan) -> Reading:
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


def _fingerprint(reading: Reading) -> str:
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


RESIDENT_TEXTS = 1024
"""Most text embeddings held at a time: shuffled captions would otherwise fill the memory."""
ENCODED_AT_ONCE = 4
"""Most images in one pass of the autoencoder: at 1024 pixels each takes gigabytes."""

Shown = tuple[int, View]
"""An example and how it is shown."""


@dataclass(slots=True)
class Encoded:
    """Latents and text embeddings of a data set on one base model."""

    dataset: Dataset
    base: BaseModel
    cache: TensorCache
    prompts: PromptRules = field(init=False)
    """How all captions and prompts are read; what exceeds its windows is cut off."""
    _latents: dict[Shown, Tensor] = field(default_factory=dict)
    _texts: dict[tuple[str, int], Conditioning] = field(default_factory=dict)
    """Least recently used first."""

    def __post_init__(self) -> None:
        handling = self.dataset.handling
        rules = PromptRules(handling.max_token_length // WINDOW, handling.weighted_captions)
        if rules.windows > 1 and not handling.pad_tokens:
            captions = [example.caption for example in self.dataset.examples]
            needed = windows_needed(self.base.tokenizer, captions, rules)
            rules = PromptRules(needed, rules.weighted)
        self.prompts = rules

    def latents(self, example: int) -> Tensor:
        """Of an example as it is: shape (4, h, w), on the base model's device."""
        return self.presented([(example, self.dataset.view(example))])[0]

    def presented(self, wanted: Sequence[Shown]) -> list[Tensor]:
        """Latents of views of one size: each of shape (4, h, w), on the base model's device.

        Plain and mirrored views are made once. Others are encoded now, those of all rows together, and equal
        ones once: trials with the same augmentation share that work.
        """
        missing = [shown for shown in dict.fromkeys(wanted) if shown not in self._latents]
        if not missing:
            return [self._latents[shown] for shown in wanted]
        keeps = self.dataset.handling.cache_latents != "off"
        passing: list[Shown] = []
        for shown in missing:
            if keeps and shown[1].keepable:
                self._latents[shown] = self._kept(shown)
            else:
                passing.append(shown)
        fresh = self._fresh(passing)
        return [fresh[shown] if shown in fresh else self._latents[shown] for shown in wanted]

    def framing(self, example: int) -> Framing:
        """How the example's plain view was scaled and cut."""
        return framed(self.dataset.view(example))

    def text(self, captions: Sequence[str], clip_skips: Sequence[int]) -> Conditioning:
        """What the untrained text encoders say of n captions, on the base model's device."""
        return Conditioning.stack([self._text(c, s) for c, s in zip(captions, clip_skips, strict=True)])

    def _text(self, caption: str, clip_skip: int) -> Conditioning:
        key = caption, clip_skip
        embedding = self._texts.pop(key, None)
        self._texts[key] = self._embed(caption, clip_skip) if embedding is None else embedding
        if len(self._texts) > RESIDENT_TEXTS:
            del self._texts[next(iter(self._texts))]
        return self._texts[key]

    @torch.no_grad()
    def _embed(self, caption: str, clip_skip: int) -> Conditioning:
        return self.base.encode_text([caption], [clip_skip], self.prompts)[0]

    def _kept(self, shown: Shown) -> Tensor:
        if self.dataset.handling.cache_latents == "memory":
            return self._encode([shown])[0]
        example, view = shown
        facts = (self.dataset.examples[example].content, view.size, *(["flipped"] if view.flipped else []))
        made = self.cache.get(("latents", self.base.fingerprint, *facts), lambda: self._encode([shown])[0])
        return made.to(self.base.device)

    def _fresh(self, passing: Sequence[Shown]) -> dict[Shown, Tensor]:
        made: dict[Shown, Tensor] = {}
        for start in range(0, len(passing), ENCODED_AT_ONCE):
            chunk = passing[start : start + ENCODED_AT_ONCE]
            made |= dict(zip(chunk, self._encode(chunk), strict=True))
        return made

    def _encode(self, shown: Sequence[Shown]) -> Tensor:
        examples = self.dataset.examples
        pictures = [show(images.open_same(examples[i]), view) for i, view in shown]
        return self.base.encode_image(torch.stack([pixels(picture) for picture in pictures]))


def framed(view: View) -> Framing:
    """How a view was scaled and cut, as SDXL is told."""
    return Framing(view.original, (view.left, view.top), view.size)


def pixels(image: Image.Image) -> Tensor:
    """An RGB image as (3, height, width) in [-1, 1]."""
    array = np.asarray(image, dtype=np.float32) / 127.5 - 1
    return torch.from_numpy(array).permute(2, 0, 1).contiguous()
