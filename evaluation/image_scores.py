"""The pictures that renders are compared with: held-out images and training images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from evaluation.encoders import Eye
from evaluation.metrics import similarity
from evaluation.metrics.diversity import diversity
from evaluation.metrics.memorisation import Side, memorisation
from trainer.data import images
from trainer.data.buckets import Size, fit
from trainer.data.dataset import Dataset, pixels


@dataclass(frozen=True, slots=True)
class Looks:
    """What an image encoder says of some subjects' renders."""

    figures: dict[str, Tensor]
    """``clip_image`` and ``memorisation``: shape (subjects, renders); ``diversity``: (subjects, prompts)."""
    nearest: Tensor | None
    """The training example that each render is most like, shape (subjects, renders)."""


class Gallery:
    """Embeds the references once, then compares any renders with them.

    In memorisation, a render is not compared with images whose caption is its prompt: a held-out image may
    be one, and would be near for its subject alone. Where that would leave fewer than two images on a side,
    all are compared.

    Args:
        dataset: where the images are.
        eye: embeds pictures.
        held_out: examples that no trial was trained on.
        training: examples of the training side; none leave memorisation out.
        prompts: what each render shows.
        size: of the renders, which the references are brought to, in pixels.
    """

    def __init__(
        self,
        dataset: Dataset,
        eye: Eye,
        held_out: Sequence[int],
        training: Sequence[int],
        prompts: Sequence[str],
        size: Size,
    ) -> None:
        self._training = tuple(training)
        self._held_out = eye.images(_pictures(dataset, held_out, size))
        self._prompts = tuple(prompts)
        self._sides: tuple[Side, Side] | None = None
        if training:
            known = eye.images(_pictures(dataset, training, size))
            near, far = (_side(dataset, training, prompts), _side(dataset, held_out, prompts))
            whole = ~(_enough(*near) & _enough(*far))
            self._sides = (
                Side(known, near[0], near[1] & ~whole[:, None]),
                Side(self._held_out, far[0], far[1] & ~whole[:, None]),
            )

    def look(self, embedded: Tensor) -> Looks:
        """Compares renders with the references and with each other.

        Args:
            embedded: renders in the encoder's space, shape (subjects, renders, width).
        """
        subjects, renders = embedded.shape[:2]
        alike = similarity.image_image(embedded.flatten(0, 1), self._held_out)
        figures, nearest = {"clip_image": alike.view(subjects, renders)}, None
        if self._sides is not None:
            found = [memorisation(each, *self._sides) for each in embedded]
            figures["memorisation"] = torch.stack([values for values, _ in found])
            nearest = torch.tensor(self._training)[torch.stack([places for _, places in found])]
        if several := [where for where in _places(self._prompts) if len(where) > 1]:
            figures["diversity"] = torch.stack([diversity(embedded[:, where]) for where in several], dim=1)
        return Looks(figures, nearest)


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


def _places(prompts: Sequence[str]) -> list[list[int]]:
    """Which renders show each prompt."""
    found: dict[str, list[int]] = {}
    for place, prompt in enumerate(prompts):
        found.setdefault(prompt, []).append(place)
    return list(found.values())


def _pictures(dataset: Dataset, examples: Sequence[int], size: Size) -> Tensor:
    """Shape (n, 3, height, width), in [0, 1]."""
    found = [pixels(fit(images.open_rgb(dataset.examples[i].path), size)) for i in examples]
    return torch.stack(found) / 2 + 0.5
