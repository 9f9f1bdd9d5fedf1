"""Whether prompts outside the data set are still followed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property

import torch

from evaluation.encoders import ClipEncoder
from evaluation.image_scores import Renders
from evaluation.rendering import RenderSettings, render
from evaluation.scorecard import Measured, ScoreCard
from evaluation.scoring import compare, figures
from evaluation.subject import Subject
from trainer.adapters.bank import AdapterBank
from trainer.bases.prompts import words
from trainer.data.encoded import Encoded
from trainer.seeds import derive


class Flexibility:
    """Renders prompts that are not in the data set and asks CLIP how well they are followed.

    Args:
        data: the encoded data set and its base model.
        bank: where the subjects are.
        clip: compares pictures with prompts.
        prompts: one picture is rendered for each.
        seed: of the starting noise.
        settings: how pictures are sampled.
        max_rows: most rows in one forward pass.
    """

    def __init__(
        self,
        data: Encoded,
        bank: AdapterBank,
        clip: ClipEncoder,
        prompts: Sequence[str],
        seed: int,
        settings: RenderSettings,
        max_rows: int,
    ) -> None:
        self._data, self._bank, self._clip, self._prompts = data, bank, clip, tuple(prompts)
        self._seeds = [derive(seed, "outside", i) for i in range(len(prompts))]
        self._settings, self._max_rows = settings, max_rows
        self._texts = clip.texts([words(prompt, data.prompts) for prompt in prompts])

    def read(self, subjects: Sequence[Subject]) -> dict[str, torch.Tensor]:
        """The metrics of prompts outside the data set, by name: shape (subjects, prompts)."""
        pictures = render(
            self._data,
            self._bank,
            subjects,
            self._prompts,
            self._seeds,
            self._settings,
            self._max_rows,
        )
        embedded = self._clip.images(pictures.flatten(0, 1)).view(len(subjects), len(self._prompts), -1)
        renders = Renders(pictures, self._prompts, read=embedded, texts=self._texts)
        return figures(renders, outside=True)

    @cached_property
    def base(self) -> dict[str, list[float]]:
        """The bare base model's, one a prompt."""
        return {name: values[0].tolist() for name, values in self.read([Subject(None)]).items()}

    def added(self, cards: Sequence[ScoreCard], subjects: Sequence[Subject]) -> list[ScoreCard]:
        """The subjects' cards with these figures."""
        found = self.read(subjects)
        return [
            card.model_copy(update={"metrics": card.metrics | self._compared(found, i)})
            for i, card in enumerate(cards)
        ]

    def _compared(self, found: Mapping[str, torch.Tensor], i: int) -> dict[str, Measured]:
        own = range(len(self._prompts))
        return {
            name: compare(name, values[i].tolist(), self.base[name], own) for name, values in found.items()
        }
