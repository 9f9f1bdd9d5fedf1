"""What renders are compared with: their prompts, held-out images and training images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from evaluation.encoders import ImageEncoder, Seen
from evaluation.metrics.memorisation import ReferenceImages, memorisation
from trainer.data import images
from trainer.data.buckets import Size, fit
from trainer.data.dataset import Dataset, pixels


class Copies(NamedTuple):
    """How near renders are to training images."""

    leaning: Tensor
    """Nearness to training images over that to held-out ones, points of 100: shape (subjects, renders)."""
    nearest: Tensor
    """The training example that each render is most like, shape (subjects, renders)."""


@dataclass(frozen=True)
class Renders:
    """Some subjects' renders as metrics see them."""

    pictures: Tensor
    """Shape (subjects, renders, 3, height, width), in [0, 1]."""
    prompts: tuple[str, ...]
    """What each shows."""
    seen: Tensor | None = None
    """In the image encoder's space: shape (subjects, renders, width); None where there is no encoder."""
    read: Tensor | None = None
    """In CLIP's space, shape (subjects, renders, width)."""
    texts: Tensor | None = None
    """The prompts there, shape (renders, width)."""
    references: Tensor | None = None
    """Held-out images in the image encoder's space, shape (images, width)."""
    drawn: Tensor | None = None
    """How the renders are drawn, shape (subjects, renders, layers, width)."""
    drawn_really: Tensor | None = None
    """How held-out and training images are drawn, shape (images, layers, width)."""
    sides: tuple[ReferenceImages, ReferenceImages] | None = None
    """Training and held-out images, which memorisation compares with."""
    training: tuple[int, ...] = ()
    """The examples of the training side."""

    @property
    def places(self) -> list[list[int]]:
        """Which renders show each prompt."""
        found: dict[str, list[int]] = {}
        for place, prompt in enumerate(self.prompts):
            found.setdefault(prompt, []).append(place)
        return list(found.values())

    @cached_property
    def copies(self) -> Copies | None:
        """How near they are to training images; None where those are unknown."""
        if self.seen is None or self.sides is None:
            return None
        found = [memorisation(each, *self.sides) for each in self.seen]
        nearest = torch.tensor(self.training)[torch.stack([places for _, places in found])]
        return Copies(torch.stack([values for values, _ in found]), nearest)


class ImageScores:
    """Embeds the references once, then sets any renders beside them.

    In memorisation, a render is not compared with images whose caption is its prompt: a held-out image may
    be one, and would be near for its subject alone. Where that would leave fewer than two images on a side,
    all are compared.

    Args:
        dataset: where the images are.
        encoder: embeds pictures.
        held_out: examples that no trial was trained on.
        training: examples of the training side; none leave memorisation out.
        prompts: what each render shows.
        size: of the renders, which the references are brought to, in pixels.
    """

    def __init__(
        self,
        dataset: Dataset,
        encoder: ImageEncoder,
        held_out: Sequence[int],
        training: Sequence[int],
        prompts: Sequence[str],
        size: Size,
    ) -> None:
        self._training = tuple(training)
        self.references, self._drawn = encoder.see(_pictures(dataset, held_out, size))
        """Of the held-out images: their embeddings, and how they are drawn."""
        self._prompts = tuple(prompts)
        self._sides: tuple[ReferenceImages, ReferenceImages] | None = None
        if training:
            known, drawn = encoder.see(_pictures(dataset, training, size))
            self._drawn = torch.cat([self._drawn, drawn])
            near, far = (_side(dataset, training, prompts), _side(dataset, held_out, prompts))
            whole = ~(_enough(*near) & _enough(*far))
            self._sides = (
                ReferenceImages(known, near[0], near[1] & ~whole[:, None]),
                ReferenceImages(self.references, far[0], far[1] & ~whole[:, None]),
            )

    def beside(
        self, pictures: Tensor, seen: Seen, read: Tensor | None = None, texts: Tensor | None = None
    ) -> Renders:
        """Renders beside the references.

        Args:
            pictures: shape (subjects, renders, 3, height, width).
            seen: in them by the encoder, subjects and renders as one axis.
            read: the same in CLIP's space, shape (subjects, renders, width).
            texts: the prompts in CLIP's space, shape (renders, width).
        """
        shape = pictures.shape[:2]
        return Renders(
            pictures,
            self._prompts,
            seen.content.view(*shape, -1),
            read,
            texts,
            self.references,
            seen.style.view(*shape, *seen.style.shape[1:]),
            self._drawn if len(self._drawn) > 1 else None,
            self._sides,
            self._training,
        )


def _side(dataset: Dataset, examples: Sequence[int], prompts: Sequence[str]) -> tuple[list[int], Tensor]:
    """Groups of near-duplicates, and which images each prompt is the caption of: shape (prompts, images)."""
    owner = {i: group for group, members in enumerate(dataset.together) for i in members}
    captions = [dataset.examples[i].caption for i in examples]
    same = torch.tensor([[prompt == caption for caption in captions] for prompt in prompts])
    return [owner.get(i, -1 - i) for i in examples], same


def _enough(groups: Sequence[int], left_out: Tensor) -> Tensor:
    """Whether each prompt has at least two groups left: shape (prompts,)."""
    left = [{group for group, out in zip(groups, row, strict=True) if not out} for row in left_out.tolist()]
    return torch.tensor([len(names) >= 2 for names in left])


def _pictures(dataset: Dataset, examples: Sequence[int], size: Size) -> Tensor:
    """Shape (n, 3, height, width), in [0, 1]."""
    return torch.stack([picture(dataset.examples[i].path, size) for i in examples])


def picture(path: Path, size: Size) -> Tensor:
    """A picture brought to a size: shape (3, height, width), in [0, 1].

    Raises:
        DataError: it cannot be read.
    """
    return pixels(fit(images.open_rgb(path), size)) / 2 + 0.5
