"""The judge: scores any number of checkpoints in one pass against the same base model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from evaluation.encoders import ClipEncoder
from evaluation.intervals import bootstrap
from evaluation.metrics import log_ratio, similarity
from evaluation.metrics.broken import broken
from evaluation.rendering import RenderSettings, render
from evaluation.scorecard import ScoreCard
from evaluation.subject import Subject
from evaluation.validation import Cells, cells, measure
from trainer.adapters import AdapterBank
from trainer.data import images
from trainer.data.buckets import fit
from trainer.data.dataset import Encoded, pixels
from trainer.prompts import words
from trainer.seeds import derive


@dataclass(frozen=True, slots=True)
class Panel:
    """What checkpoints are judged on."""

    held_out: tuple[int, ...]
    """Examples for validation loss; also the references of image-image similarity."""
    seen: tuple[int, ...]
    """Training examples on which the same loss shows the gap."""
    prompts: tuple[str, ...]
    """One picture is rendered for each; a prompt may stand more than once, with another seed."""
    timesteps: int
    """Per image."""
    seed: int
    settings: RenderSettings
    max_rows: int


@dataclass(frozen=True, slots=True)
class Readings:
    """Raw measurements of some subjects."""

    losses: Tensor
    """Shape (subjects, held-out images, timesteps)."""
    seen_losses: Tensor
    """Shape (subjects, seen images, timesteps)."""
    renders: Tensor
    """Shape (subjects, prompts, 3, height, width), in [0, 1]."""
    clip_image: Tensor | None
    """Shape (subjects, prompts)."""
    clip_text: Tensor | None


class Judge:
    """Scores slots of a bank on a panel.

    Args:
        data: the encoded data set and its base model.
        bank: where the subjects are.
        panel: what they are judged on.
        clip: None leaves CLIP scores out.
    """

    def __init__(self, data: Encoded, bank: AdapterBank, panel: Panel, clip: ClipEncoder | None) -> None:
        self._data, self._bank, self.panel, self._clip = data, bank, panel, clip
        self._held_out = self._cells(panel.held_out)
        self._seen = self._cells(panel.seen)
        self._seeds = [derive(panel.seed, "prompt", i) for i in range(len(panel.prompts))]
        self._references = clip.images(self._pictures()) if clip else None
        said = [words(prompt, data.prompts) for prompt in panel.prompts]
        self._prompts = clip.texts(said) if clip and said else None
        self.base = self.read([Subject(None)])
        """The bare base model's readings."""

    def score(self, subjects: Sequence[Subject]) -> list[tuple[ScoreCard, Tensor]]:
        """The card and the renders (prompts, 3, height, width) of each subject."""
        readings = self.read(subjects)
        return [(self._card(readings, i), readings.renders[i]) for i in range(len(subjects))]

    def read(self, subjects: Sequence[Subject]) -> Readings:
        """Everything that is measured, before it is compared with the base."""
        data, bank, panel = self._data, self._bank, self.panel
        errors = measure(data, bank, subjects, self._held_out + self._seen, panel.max_rows)
        held_out = len(self._held_out)
        renders = self._render(subjects)
        clip_image, clip_text = self._clip_scores(renders)
        return Readings(errors[:, :held_out], errors[:, held_out:], renders, clip_image, clip_text)

    def _card(self, readings: Readings, i: int) -> ScoreCard:
        ratio = log_ratio.log_ratio(readings.losses[i], self.base.losses[0])
        seen = log_ratio.log_ratio(readings.seen_losses[i], self.base.seen_losses[0])
        pictures = readings.renders[i]
        clip_image = _rises(readings.clip_image, self.base.clip_image, i)
        clip_text = _rises(readings.clip_text, self.base.clip_text, i)
        return ScoreCard(
            validation=bootstrap(log_ratio.by_image(ratio).tolist()),
            validation_by_timestep=tuple(log_ratio.by_timestep(ratio).tolist()),
            validation_by_image=tuple(log_ratio.by_image(ratio).tolist()),
            training=bootstrap(log_ratio.by_image(seen).tolist()) if len(seen) else None,
            clip_image=None if clip_image is None else bootstrap(clip_image),
            clip_text=None if clip_text is None else bootstrap(clip_text),
            clip_image_by_prompt=clip_image,
            clip_text_by_prompt=clip_text,
            clip_image_value=None if readings.clip_image is None else float(readings.clip_image[i].mean()),
            clip_text_value=None if readings.clip_text is None else float(readings.clip_text[i].mean()),
            broken=int(broken(pictures).sum()) if len(pictures) else 0,
            renders=len(pictures),
        )

    def _cells(self, examples: Sequence[int]) -> list[Cells]:
        return [cells(self._data, example, self.panel.timesteps, self.panel.seed) for example in examples]

    def _pictures(self) -> Tensor:
        """The held-out images at rendering size: shape (n, 3, height, width), in [0, 1]."""
        settings, examples = self.panel.settings, self._data.dataset.examples
        size = settings.width, settings.height
        pictures = [pixels(fit(images.open_rgb(examples[i].path), size)) for i in self.panel.held_out]
        return torch.stack(pictures) / 2 + 0.5

    def _render(self, subjects: Sequence[Subject]) -> Tensor:
        panel = self.panel
        if not panel.prompts:
            return torch.zeros(len(subjects), 0, 3, panel.settings.height, panel.settings.width)
        return render(
            self._data, self._bank, subjects, panel.prompts, self._seeds, panel.settings, panel.max_rows
        )

    def _clip_scores(self, renders: Tensor) -> tuple[Tensor | None, Tensor | None]:
        if self._clip is None or self._prompts is None or self._references is None:
            return None, None
        subjects, prompts = renders.shape[:2]
        embedded = self._clip.images(renders.flatten(0, 1))
        by_image = similarity.image_image(embedded, self._references)
        by_text = similarity.text_image(embedded, self._prompts.repeat(subjects, 1))
        return by_image.view(subjects, prompts), by_text.view(subjects, prompts)


def _rises(values: Tensor | None, base: Tensor | None, i: int) -> tuple[float, ...] | None:
    """Paired differences to the base's renders of the same prompts and seeds."""
    if values is None or base is None:
        return None
    return tuple((values[i] - base[0]).tolist())
