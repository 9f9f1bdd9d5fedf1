"""A data set whose images and captions are encoded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from trainer.bases.base_model import BaseModel
from trainer.bases.conditioning import Conditioning, Framing
from trainer.bases.prompts import PromptRules, windows_needed
from trainer.data import images
from trainer.data.augmentation import mirrored, show
from trainer.data.caches import TensorCache
from trainer.data.dataset import Dataset, Shown, framed, pixels
from trainer.sending import send

RESIDENT_TEXTS = 1024
"""Most text embeddings held at a time: shuffled captions would otherwise fill the memory."""
ENCODED_AT_ONCE = 4
"""Most images in one pass of the autoencoder: at 1024 pixels each takes gigabytes."""


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
    """Least recently used first; those that large encoders read lie beside the device, being megabytes each."""

    def __post_init__(self) -> None:
        handling = self.dataset.handling
        rules = handling.prompts
        if rules.windows > 1 and not handling.pad_tokens:
            captions = [example.caption for example in self.dataset.examples]
            needed = windows_needed(self.base.tokenizer, captions, rules)
            rules = replace(rules, windows=needed)
        self.prompts = rules

    def prepare(self, clip_skip: int, flip: bool) -> None:
        """Encodes everything that will surely be asked for: latents first, then captions, each network in one go.

        Args:
            clip_skip: at which captions are read.
            flip: whether mirror images are shown too.
        """
        if self.dataset.handling.cache_latents != "off":
            for example, view in ((i, self.dataset.view(i)) for i in range(len(self.dataset.examples))):
                shown = [view, mirrored(view)] if flip else [view]
                self.presented([(example, each) for each in shown])
        captions = dict.fromkeys(("", *(example.caption for example in self.dataset.examples)))
        for caption in list(captions)[:RESIDENT_TEXTS]:
            self.text([caption], [clip_skip])

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
        rows = [self._text(c, s) for c, s in zip(captions, clip_skips, strict=True)]
        return Conditioning.stack(rows).map(lambda tensor: send(tensor, self.base.device))

    def _text(self, caption: str, clip_skip: int) -> Conditioning:
        key = caption, clip_skip
        embedding = self._texts.pop(key, None)
        self._texts[key] = self._embed(caption, clip_skip) if embedding is None else embedding
        if len(self._texts) > RESIDENT_TEXTS:
            del self._texts[next(iter(self._texts))]
        return self._texts[key]

    def _embed(self, caption: str, clip_skip: int) -> Conditioning:
        """Read now; where a large text encoder reads, once for all runs."""
        base = self.base
        if not base.reads_long:
            return self._read(caption, clip_skip)
        if self.dataset.handling.cache_latents != "disk":
            return self._read(caption, clip_skip).map(Tensor.cpu)
        facts = ("text", base.fingerprint, str(base.dtype), caption)
        return Conditioning(**self.cache.table(facts, lambda: self._read(caption, clip_skip).tensors))

    @torch.no_grad()
    def _read(self, caption: str, clip_skip: int) -> Conditioning:
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
