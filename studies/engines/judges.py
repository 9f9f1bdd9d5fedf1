"""Judges checkpoints of a study: those that are in the pack, and those that lie in files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from evaluation.judge import Judge
from evaluation.metrics.table import METRICS
from evaluation.pooling import pooled
from evaluation.scorecard import ScoreCard
from evaluation.subject import Subject
from search.objective import Weights
from studies.engines.judge_builder import JudgeBuilder, eyes_of
from studies.engines.units import measured_units
from studies.study.exam import Exam
from studies.study.folds import Fold, shared_out, whole
from trainer.footprint.forecast import Eyes
from trainer.training.saving import load_lora


class StudyJudges:
    """A judge for each fold of a study.

    Args:
        builder: of the study's data set; nothing may be in training in its bank while files are judged.
        folds: what the runs of a trial have not seen; a judge is kept for each.
        weights: how much each metric counts.
    """

    def __init__(self, builder: JudgeBuilder, folds: Sequence[Fold], weights: Weights) -> None:
        self._builder, self._folds, self._weights = builder, tuple(folds), weights
        self.judges = self._validating(self._everyday("search"))
        """One for each fold, for every day of the search."""

    @property
    def base_renders(self) -> Tensor:
        """The base model's pictures for each fold's prompts, in turn: shape (renders, 3, height, width)."""
        return torch.cat([judge.base.renders[0] for judge in self.judges])

    @property
    def weigh_outside(self) -> bool:
        """Whether the objective weighs a metric of the prompts outside the data set."""
        return any(self._weights.get(name, 0) > 0 for name, metric in METRICS.items() if metric.outside)

    @property
    def eyes(self) -> Eyes:
        """What the models that look at renders need of the device."""
        return eyes_of(self._builder.section)

    def measure_units(self) -> dict[str, float]:
        """What one unit of each metric is in the objective."""
        return measured_units(self.judges, self._validating(self._everyday("again")), self._weights)

    def examine(self, files: Sequence[Sequence[Path]], exam: Exam) -> list[ScoreCard]:
        """Scores checkpoints from their files: what is judged is what is handed over.

        Args:
            files: of each checkpoint the file of every fold, or one file for a test.
            exam: what they are judged on.
        """
        if exam.side == "test":
            return self._read(self._builder.build(exam, whole(self._folds)), [of[0] for of in files])
        judges = self._validating(exam)
        cards = [self._read(judge, [of[place] for of in files]) for place, judge in enumerate(judges)]
        return [of[0] if len(of) == 1 else pooled(of) for of in zip(*cards, strict=True)]

    def _read(self, judge: Judge, files: Sequence[Path]) -> list[ScoreCard]:
        bank, names = self._builder.bank, self._builder.data.base.kohya_names
        plans = [load_lora(file, bank, slot, names) for slot, file in enumerate(files)]
        subjects = [Subject(slot, plan.base.clip_skip) for slot, plan in enumerate(plans)]
        scored = judge.score(subjects, asked=range(len(subjects)))
        for slot in range(len(files)):
            bank.close(slot)
        return [card for card, _ in scored]

    def _everyday(self, label: str) -> Exam:
        """What every checkpoint of the search is judged on."""
        section = self._builder.section
        return Exam.everyday(section, label, section.outside_prompt_count)

    def _validating(self, exam: Exam) -> list[Judge]:
        """A judge for each fold."""
        count = shared_out(exam.prompt_count, len(self._folds))
        return [self._builder.build(exam, fold.number, count) for fold in self._folds]
