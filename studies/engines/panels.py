"""What a study file's judge is to measure, as a panel of images, timesteps and prompts."""

from __future__ import annotations

from evaluation.flexibility_prompts import outside
from evaluation.panel import Panel
from evaluation.rendering import RenderSettings
from studies.spec.sections import JudgeSection, cues
from studies.study.exam import Exam
from studies.study.folds import prompts_of
from trainer.data.dataset import Dataset
from trainer.seeds import derive


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
