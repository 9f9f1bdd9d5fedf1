"""Trials that are trained once without each fold, as slots of one pack, and judged as one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from evaluation.pooling import pooled
from evaluation.scorecard import ScoreCard
from trainer.data.dataset import WHOLE, Dataset
from trainer.outcome import EpochEnd


@dataclass(frozen=True, slots=True)
class Fold:
    """What a run of a trial has not seen, and by what captions that may be asked for."""

    number: int | None
    """None where each trial is one run."""
    captions: tuple[str, ...]


def folds_of(dataset: Dataset, chosen: int | None) -> tuple[Fold, ...]:
    """What a study's trials are trained without, run by run: each fold, or the split's validation images.

    Args:
        dataset: split, and perhaps dealt into folds.
        chosen: the plan's ``data.fold``; where it is given, trials are one run each.
    """
    if chosen is not None or not dataset.folds:
        return (Fold(None, _captions(dataset, None)),)
    return tuple(Fold(number, _captions(dataset, number)) for number in range(len(dataset.folds)))


def whole(folds: Sequence[Fold]) -> int | None:
    """The fold number under which a data set holds out its test side alone; a single run keeps its own."""
    return WHOLE if len(folds) > 1 else folds[0].number


def shared_out(count: int, folds: int) -> int:
    """How many prompts each fold gets of ``count``, at least one if there is any."""
    return -(-count // folds)


def prompts_of(captions: Sequence[str], given: Sequence[str], count: int) -> tuple[str, ...]:
    """The study file's own prompts, or the first captions of what is held out."""
    return tuple(given) or tuple(captions[:count])


def _captions(dataset: Dataset, fold: int | None) -> tuple[str, ...]:
    held_out = dataset.fold(fold).split.validation
    return tuple(dataset.examples[i].caption for i in held_out)


@dataclass(frozen=True, slots=True)
class FoldScores:
    """What one run contributes to a checkpoint."""

    end: EpochEnd
    scores: ScoreCard
    renders: Tensor
    """Shape (renders, 3, height, width)."""


@dataclass(frozen=True)
class Folds:
    """Which runs belong to which trial, and what they have contributed so far.

    Attributes:
        folds: what runs are trained without; a trial has one run for each.
    """

    folds: tuple[Fold, ...]
    _scored: dict[tuple[int, int], dict[int, FoldScores]] = field(default_factory=dict)

    def runs(self, trial: int) -> range:
        """The numbers by which the pack knows a trial's runs."""
        return range(trial * len(self.folds), (trial + 1) * len(self.folds))

    def trial(self, run: int) -> int:
        """Whose run it is."""
        return run // len(self.folds)

    def place(self, run: int) -> int:
        """Which of ``folds`` the run has not seen."""
        return run % len(self.folds)

    def fold(self, run: int) -> int | None:
        """The fold that the run is trained without."""
        return self.folds[self.place(run)].number

    def add(self, scores: FoldScores) -> FoldScores | None:
        """Takes in what a run contributes; gives the whole trial's once all its runs have reached that epoch."""
        run, epoch = scores.end.trial, scores.end.epoch
        scored = self._scored.setdefault((self.trial(run), epoch), {})
        scored[self.place(run)] = scores
        if len(scored) < len(self.folds):
            return None
        del self._scored[self.trial(run), epoch]
        return _joined(self.trial(run), [scored[place] for place in sorted(scored)])

    def forget(self, trial: int) -> None:
        """Drops what a trial that has left has contributed."""
        for key in [key for key in self._scored if key[0] == trial]:
            del self._scored[key]


def _joined(trial: int, parts: Sequence[FoldScores]) -> FoldScores:
    """One checkpoint of a trial from those of its runs."""
    ends = [part.end for part in parts]
    end = EpochEnd(
        trial,
        ends[0].epoch,
        max(end.images_seen for end in ends),
        max(end.steps for end in ends),
        sum(end.training_loss for end in ends) / len(ends),
        all(end.last for end in ends),
    )
    scores = parts[0].scores if len(parts) == 1 else pooled([part.scores for part in parts])
    return FoldScores(end, scores, torch.cat([part.renders for part in parts]))
