"""The judge: scores any number of checkpoints in one pass against the same base model."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from evaluation.encoders import ClipEncoder, ImageEncoder
from evaluation.flexibility import Flexibility
from evaluation.image_scores import ImageScores, Renders
from evaluation.panel import Panel
from evaluation.rendering import render
from evaluation.scorecard import ScoreCard
from evaluation.scoring import Readings, card, figures, ways
from evaluation.subject import Subject
from evaluation.validation import Cells, caption_gain, cells, measure
from trainer.adapters.bank import AdapterBank
from trainer.bases.prompts import words
from trainer.data.encoded import Encoded


class Judge:
    """Scores slots of a bank on a panel.

    Args:
        data: the encoded data set and its base model.
        bank: where the subjects are.
        panel: what they are judged on.
        clip: None leaves the scores of text out.
        encoder: compares pictures; None takes CLIP, if there is one.
    """

    def __init__(
        self,
        data: Encoded,
        bank: AdapterBank,
        panel: Panel,
        clip: ClipEncoder | None,
        encoder: ImageEncoder | None = None,
    ) -> None:
        self._data, self._bank, self.panel, self._clip = data, bank, panel, clip
        self._encoder: ImageEncoder | None = encoder or clip
        self._held_out = self._cells(panel.held_out)
        self._seen = self._cells(panel.seen)
        self._images = (
            ImageScores(
                data.dataset, self._encoder, panel.held_out, panel.training, panel.prompts, panel.size
            )
            if self._encoder and panel.prompts
            else None
        )
        said = [words(prompt, data.prompts) for prompt in panel.prompts]
        self._prompts = clip.texts(said) if clip and said else None
        self._flexibility = (
            Flexibility(data, bank, clip, panel.outside, panel.seed, panel.settings, panel.max_rows)
            if clip and panel.outside
            else None
        )
        self.base = self.read([Subject(None)])
        """The bare base model's readings."""

    def score(self, subjects: Sequence[Subject], asked: Sequence[int] = ()) -> list[tuple[ScoreCard, Tensor]]:
        """The card and the renders (prompts, 3, height, width) of each subject.

        Args:
            subjects: who is scored.
            asked: places of those who also render the prompts outside the data set.
        """
        readings, owners = self.read(subjects), self.panel.owners
        cards = [card(readings, self.base, i, owners) for i in range(len(subjects))]
        if self._flexibility and asked:
            fuller = self._flexibility.added([cards[i] for i in asked], [subjects[i] for i in asked])
            for i, found in zip(asked, fuller, strict=True):
                cards[i] = found
        return [(found, readings.renders[i]) for i, found in enumerate(cards)]

    def read(self, subjects: Sequence[Subject]) -> Readings:
        """Everything that is measured, before it is compared with the base."""
        data, bank, panel = self._data, self._bank, self.panel
        errors = measure(data, bank, subjects, self._held_out + self._seen, panel.max_rows)
        held_out = len(self._held_out)
        renders = self._render(subjects)
        beside = self._beside(renders)
        nearest = beside.copies.nearest if beside.copies else None
        return Readings(errors[:, :held_out], errors[:, held_out:], renders, figures(beside), nearest)

    def caption_gain(self) -> Tensor:
        """log(L without caption / L with it) of the base model: shape (held-out images, timesteps).

        A difference between two models on the same cells, as large as a LoRA's and known before any is trained.
        """
        return caption_gain(self._data, self._bank, self._held_out, self.base.losses[0], self.panel.max_rows)

    def ways(self) -> dict[str, float]:
        """How far the base model is from the real images, by metric; of the loss, what captions gain."""
        found = {"validation": float(self.caption_gain().mean())}
        return found | ways(self.base, self._images.references) if self._images else found

    def outside_of_base(self) -> dict[str, list[float]]:
        """The base model's figures on the prompts outside the data set, by metric; empty where there are none."""
        return {} if self._flexibility is None else self._flexibility.base

    def _cells(self, examples: Sequence[int]) -> list[Cells]:
        return [cells(self._data, example, self.panel.timesteps, self.panel.seed) for example in examples]

    def _render(self, subjects: Sequence[Subject]) -> Tensor:
        panel = self.panel
        if not panel.prompts:
            return torch.zeros(len(subjects), 0, 3, panel.settings.height, panel.settings.width)
        return render(
            self._data,
            self._bank,
            subjects,
            panel.prompts,
            panel.prompt_seeds,
            panel.settings,
            panel.max_rows,
        )

    def _beside(self, pictures: Tensor) -> Renders:
        """Renders in the encoders' spaces, beside what they are compared with."""
        if self._encoder is None or self._images is None:
            return Renders(pictures, self.panel.prompts)
        subjects, count = pictures.shape[:2]
        seen = self._encoder.see(pictures.flatten(0, 1))
        read = None
        if self._clip is not None:
            whole = seen.content if self._encoder is self._clip else self._clip.images(pictures.flatten(0, 1))
            read = whole.view(subjects, count, -1)
        return self._images.beside(pictures, seen, read, self._prompts)
