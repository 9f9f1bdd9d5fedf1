"""The pictures that renders are compared with: held-out images and training images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from evaluation.encoders import Eye
from evaluation.metrics import similarity
from evaluation.metrics.diversity import diversity
from evaluation.metrics.memorisation import memorisation
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

    Args:
        dataset: where the images are.
        eye: embeds pictures.
        held_out: examples that no trial was trained on.
        training: examples of the training side; fewer than two groups leave memorisation out.
        size: of the renders, which the references are brought to, in pixels.
    """

    def __init__(
        self, dataset: Dataset, eye: Eye, held_out: Sequence[int], training: Sequence[int], size: Size
    ) -> None:
        self._eye, self._training = eye, tuple(training)
        self._held_out = eye.images(_pictures(dataset, held_out, size))
        self._known = eye.images(_pictures(dataset, training, size)) if training else None
        owner = {i: group for group, members in enumerate(dataset.together) for i in members}
        self._groups = tuple([owner.get(i, -1 - i) for i in side] for side in (training, held_out))

    def look(self, embedded: Tensor, prompts: Sequence[int]) -> Looks:
        """Compares renders with the references and with each other.

        Args:
            embedded: renders in the encoder's space, shape (subjects, renders, width).
            prompts: the prompt that each render shows, as a number.
        """
        subjects, renders = embedded.shape[:2]
        flat = embedded.flatten(0, 1)
        figures = {"clip_image": similarity.image_image(flat, self._held_out).view(subjects, renders)}
        nearest = None
        if self._known is not None:
            train, held_out = self._groups
            values, places = memorisation(flat, self._known, self._held_out, (train, held_out))
            figures["memorisation"] = values.view(subjects, renders)
            nearest = torch.tensor(self._training)[places].view(subjects, renders)
        if several := [where for where in _places(prompts) if len(where) > 1]:
            figures["diversity"] = torch.stack([diversity(embedded[:, where]) for where in several], dim=1)
        return Looks(figures, nearest)


def _places(prompts: Sequence[int]) -> list[list[int]]:
    """Which renders show each prompt."""
    found: dict[int, list[int]] = {}
    for place, prompt in enumerate(prompts):
        found.setdefault(prompt, []).append(place)
    return list(found.values())


def _pictures(dataset: Dataset, examples: Sequence[int], size: Size) -> Tensor:
    """Shape (n, 3, height, width), in [0, 1]."""
    found = [pixels(fit(images.open_rgb(dataset.examples[i].path), size)) for i in examples]
    return torch.stack(found) / 2 + 0.5
