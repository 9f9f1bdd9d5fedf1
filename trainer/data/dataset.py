"""A study's images, read and split once, encoded once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from trainer.base_model import BaseModel
from trainer.bases.conditioning import Conditioning, Framing
from trainer.data import images
from trainer.data.buckets import Size, buckets, crop_corner, fit, nearest
from trainer.data.caches import TensorCache
from trainer.data.images import DataError, Example
from trainer.data.split import Split, groups, look, split
from trainer.data.stream import Deck, deck
from trainer.plan import DataPlan
from trainer.seeds import derive


@dataclass(frozen=True, slots=True)
class Dataset:
    """Examples, their sides of the split and their training sizes; no tensors, no base model."""

    examples: tuple[Example, ...]
    split: Split
    sizes: tuple[Size, ...]
    """Training size of each example in pixels."""
    warnings: tuple[str, ...]
    fingerprint: str
    """Changes when an image, a caption or a folder's repeats change."""

    @property
    def deck(self) -> Deck:
        """The training examples as they are dealt."""
        train = self.split.train
        return deck(train, [self.examples[i].repeats for i in train])


def read(plan: DataPlan, shares: tuple[float, float], seed: int) -> Dataset:
    """Reads, checks and splits the data set of a study.

    Args:
        plan: folder and training sizes.
        shares: validation and test share.
        seed: study seed.

    Raises:
        DataError: with all problems.
    """
    reading = images.read(plan.folder)
    contents = [example.content for example in reading.examples]
    looks = [look(images.open_rgb(example.path)) for example in reading.examples]
    try:
        sides = split(contents, groups(contents, looks), shares, seed)
    except ValueError as error:
        raise DataError([f"{plan.folder}: {error}."]) from error
    choices = training_sizes(plan)
    sizes = tuple(nearest(example.size, choices) for example in reading.examples)
    facts = sorted((e.content, e.caption, e.repeats) for e in reading.examples)
    return Dataset(reading.examples, sides, sizes, reading.warnings, f"{derive(repr(facts)):016x}")


def training_sizes(plan: DataPlan) -> tuple[Size, ...]:
    """The sizes that images may be brought to."""
    if not plan.enable_bucket:
        return ((plan.resolution, plan.resolution),)
    return buckets(plan.resolution, plan.min_bucket_reso, plan.max_bucket_reso, plan.bucket_reso_steps)


RESIDENT_TEXTS = 1024
"""Most text embeddings held at a time: shuffled captions would otherwise fill the memory."""


@dataclass(slots=True)
class Encoded:
    """Latents and text embeddings of a data set on one base model; latents are computed once."""

    dataset: Dataset
    base: BaseModel
    cache: TensorCache
    _latents: dict[int, Tensor] = field(default_factory=dict)
    _texts: dict[tuple[str, int], Conditioning] = field(default_factory=dict)
    """Least recently used first."""

    def latents(self, example: int) -> Tensor:
        """Shape (4, h, w), on the base model's device."""
        if example not in self._latents:
            facts = self.dataset.examples[example].content, self.dataset.sizes[example]
            made = self.cache.get(("latents", self.base.fingerprint, *facts), lambda: self._encode(example))
            self._latents[example] = made.to(self.base.device)
        return self._latents[example]

    def framing(self, example: int) -> Framing:
        """How the example's picture is scaled and cut to its training size."""
        original, target = self.dataset.examples[example].size, self.dataset.sizes[example]
        return Framing(original, crop_corner(original, target), target)

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
        return self.base.encode_text([caption], [clip_skip])[0]

    def _encode(self, example: int) -> Tensor:
        picture = images.open_rgb(self.dataset.examples[example].path)
        return self.base.encode_image(pixels(fit(picture, self.dataset.sizes[example])).unsqueeze(0))[0]


def pixels(image: Image.Image) -> Tensor:
    """An RGB image as (3, height, width) in [-1, 1]."""
    array = np.asarray(image, dtype=np.float32) / 127.5 - 1
    return torch.from_numpy(array).permute(2, 0, 1).contiguous()
