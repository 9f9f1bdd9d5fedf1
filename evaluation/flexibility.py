"""Whether prompts outside the data set are still followed."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import torch

from evaluation.encoders import ClipEncoder
from evaluation.metrics import similarity
from evaluation.rendering import RenderSettings, render
from evaluation.scorecard import ScoreCard
from evaluation.scoring import compared
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

    def read(self, subjects: Sequence[Subject]) -> torch.Tensor:
        """Similarity of each render to its prompt, in points of 100: shape (subjects, prompts)."""
        renders = render(
            self._data,
            self._bank,
            subjects,
            self._prompts,
            self._seeds,
            self._settings,
            self._max_rows,
        )
        embedded = self._clip.images(renders.flatten(0, 1))
        return similarity.text_image(embedded, self._texts.repeat(len(subjects), 1)).view(len(subjects), -1)

    @cached_property
    def base(self) -> list[float]:
        """The bare base model's, one a prompt."""
        found: list[float] = self.read([Subject(None)])[0].tolist()
        return found

    def added(self, cards: Sequence[ScoreCard], subjects: Sequence[Subject]) -> list[ScoreCard]:
        """The subjects' cards with this figure."""
        owners = range(len(self._prompts))
        mean = sum(self.base) / len(self.base)
        return [
            card.model_copy(
                update=compared("flexibility", values, self.base, owners)
                | {"base_values": {**card.base_values, "flexibility": mean}}
            )
            for card, values in zip(cards, self.read(subjects).tolist(), strict=True)
        ]
