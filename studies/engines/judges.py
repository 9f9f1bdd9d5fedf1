"""Judges checkpoints: those that are in the pack, and those that lie in files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from evaluation.encoders import ClipEncoder, VisionEncoder
from evaluation.flexibility_prompts import outside
from evaluation.judge import Judge, Panel
from evaluation.metrics.log_ratio import by_image
from evaluation.metrics.table import METRICS
from evaluation.pooling import pooled
from evaluation.rendering import RenderSettings
from evaluation.scorecard import ScoreCard
from evaluation.subject import Subject
from search.objective import spread
from studies.engines.engine import Exam
from studies.spec.sections import JudgeSection, cues
from studies.spec.study_file import StudySpec
from studies.study.folds import Fold, prompts_of, shared_out
from trainer.adapters.bank import AdapterBank
from trainer.data.dataset import WHOLE, Dataset
from trainer.data.encoded import Encoded
from trainer.lora_files.file import load_slot, read
from trainer.plan import TrainingPlan
from trainer.seeds import derive
from trainer.training.run import shape_of


class StudyJudges:
    """Makes the panels of a study and judges on them.

    Args:
        spec: the study file.
        folds: what the runs of a trial have not seen; a judge is kept for each.
        data: the encoded data set and its base model.
        bank: where subjects are; nothing may be in training while files are judged.
        template: the plan that all trials share; its seed seeds all that is drawn.
    """

    def __init__(
        self,
        spec: StudySpec,
        folds: Sequence[Fold],
        data: Encoded,
        bank: AdapterBank,
        template: TrainingPlan,
    ) -> None:
        self._spec, self._folds, self._template = spec, tuple(folds), template
        self._data, self._bank = data, bank
        encoder, device = spec.judge.image_encoder, data.base.device
        self._clip = ClipEncoder(spec.judge.clip, device) if spec.judge.clip else None
        self._encoder = VisionEncoder(encoder, device) if encoder else None
        self.judges = self._validating(self._everyday("search"))
        """One for each fold, for every day of the search."""

    def measurement_noise(self) -> dict[str, float]:
        """How much a difference in each metric moves when it is measured again with other seeds."""
        again = self._validating(self._everyday("again"))
        found = measurement_noise(self.judges, again)
        for name, metric in METRICS.items():
            if metric.outside and self._spec.objective.get(name):
                asked = [
                    [judge.outside_of_base()[name] for judge in judges] for judges in (self.judges, again)
                ]
                found[name] = spread(*map(_flat, asked))
        return found

    def examine(self, files: Sequence[Sequence[Path]], exam: Exam) -> list[ScoreCard]:
        """Scores checkpoints from their files: what is judged is what is handed over.

        Args:
            files: of each checkpoint the file of every fold, or one file for a test.
            exam: what they are judged on.
        """
        if exam.side == "test":
            whole = WHOLE if len(self._folds) > 1 else self._folds[0].number
            return self._read(self._judge(exam, whole, exam.prompt_count), [of[0] for of in files])
        judges = self._validating(exam)
        cards = [self._read(judge, [of[place] for of in files]) for place, judge in enumerate(judges)]
        return [of[0] if len(of) == 1 else pooled(of) for of in zip(*cards, strict=True)]

    def _read(self, judge: Judge, files: Sequence[Path]) -> list[ScoreCard]:
        subjects = []
        for slot, file in enumerate(files):
            lora = read(file)
            plan = TrainingPlan.model_validate_json(lora.metadata["lorasearch_plan"])
            self._bank.open(slot, shape_of(plan), 0)
            load_slot(self._bank, slot, lora.tensors, self._data.base.kohya_names)
            subjects.append(Subject(slot, plan.base.clip_skip))
        scored = judge.score(subjects, asked=range(len(subjects)))
        for slot in range(len(files)):
            self._bank.close(slot)
        return [card for card, _ in scored]

    def _everyday(self, label: str) -> Exam:
        """What every checkpoint of the search is judged on."""
        return Exam.everyday(self._spec.judge, label, self._spec.judge.outside_prompt_count)

    def _validating(self, exam: Exam) -> list[Judge]:
        """A judge for each fold."""
        count = shared_out(exam.prompt_count, len(self._folds))
        return [self._judge(exam, fold.number, count) for fold in self._folds]

    def _judge(self, exam: Exam, fold: int | None, prompt_count: int) -> Judge:
        panel = self._panel(exam, fold, prompt_count)
        return Judge(self._data, self._bank, panel, self._clip, self._encoder)

    def _panel(self, exam: Exam, fold: int | None, prompt_count: int) -> Panel:
        dataset = self._data.dataset.fold(fold)
        template = self._template
        return panel(self._spec.judge, dataset, exam, prompt_count, template.seed, template.data.resolution)


def panel(
    judge: JudgeSection, dataset: Dataset, exam: Exam, prompt_count: int, seed: int, resolution: int
) -> Panel:
    """What checkpoints are judged on.

    Args:
        judge: how, in general.
        dataset: whose split says what is held out.
        exam: how thoroughly this time.
        prompt_count: how many captions of held-out images are rendered where ``judge`` gives no prompts.
        seed: from which all that is drawn derives.
        resolution: side of the renders in pixels.
    """
    split = dataset.split
    held_out = split.test if exam.side == "test" else split.validation
    captions = [example.caption for example in dataset.examples]
    prompts = prompts_of([captions[i] for i in held_out], judge.prompts, prompt_count)
    return Panel(
        held_out=held_out,
        seen=split.train[: judge.seen_images] if exam.label == "search" else (),
        prompts=prompts * exam.seeds_per_prompt,
        timesteps=exam.timesteps,
        seed=derive(seed, "exam", exam.label),
        settings=settings_of(judge, resolution),
        max_rows=judge.max_rows,
        training=split.train,
        outside=outside(cues(judge), captions, exam.outside),
    )


def settings_of(judge: JudgeSection, side: int) -> RenderSettings:
    """How pictures of so many pixels a side are sampled for the judge."""
    return RenderSettings(judge.steps, judge.guidance, side, side, judge.negative_prompt, guided=judge.guided)


def measurement_noise(first: Sequence[Judge], again: Sequence[Judge]) -> dict[str, float]:
    """How much a difference in each metric moves between two measurements with different seeds.

    Of pictures it is the base model's own figure that is measured twice: a LoRA's pictures share little with the
    base model's. Losses on the same cells share nearly all of their noise, so it is a difference that is measured
    twice, that which captions make.

    Args:
        first: judges of the same images as ``again``, fold by fold.
        again: with other seeds.
    """
    both = (first, again)
    gains = [[by_image(judge.caption_gain()).tolist() for judge in judges] for judges in both]
    found = {"validation": spread(*map(_flat, gains))}
    for name in first[0].base.figures:
        values = [[judge.base.figures[name][0].tolist() for judge in judges] for judges in both]
        found[name] = spread(*map(_flat, values))
    return found


def renders_of_base(judges: Sequence[Judge]) -> list[Tensor]:
    """The base model's pictures for each fold's prompts: shape (renders, 3, height, width)."""
    return [judge.base.renders[0] for judge in judges]


def _flat(parts: Sequence[Sequence[float]]) -> list[float]:
    return [value for part in parts for value in part]
