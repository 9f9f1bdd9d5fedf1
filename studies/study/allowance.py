"""How much may be judged: a share of the training, in rows of forward passes, so that no clock decides (pure)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from pydantic import BaseModel

from evaluation.metrics.table import METRICS, Need
from evaluation.rendering import RenderSettings
from studies.spec.planner import Planner
from studies.spec.sections import ConfirmSection, JudgeSection
from studies.spec.study_file import StudySpec
from studies.study.exam import Exam
from studies.study.folds import folds_of, shared_out
from trainer.data.dataset import Dataset

ROWS_PER_TRAINED_IMAGE = 4.0
"""What training on an image costs in rows of a forward pass: forward, backward through the frozen layers, LoRAs, all
in smaller batches than the judge's. Measured on two cores: 4.3."""
ROWS_PER_PICTURE = 3.0
"""What decoding a picture and looking at it cost."""
SEARCHING = 0.5
"""Of all judging, the part that scores every checkpoint; the rest judges finalists again, and tests."""
TESTING = 0.5
"""Of that rest, what the test may take."""
ENOUGH_STEPS, ENOUGH_GUIDED = 4, 0.5
"""Sampling steps, and the share of them that guidance acts in, from which on more pictures tell checkpoints better
apart than better ones do (measured by an independent truth)."""
LEAST_STEPS, LEAST_PROMPTS, LEAST_OUTSIDE = 3, 2, 2
LEAST_TIMESTEPS, LEAST_TIMESTEPS_UNWEIGHED = 4, 2
LEAST_SEEN = 4
"""Training images where a guard reads their loss: of fewer its error is not known well."""
AVERAGES = 2
"""Averages of checkpoints that are judged beside a winner at most."""
MEASUREMENTS_AT_ONCE = 3
"""Finalists, about, that are still open after a round."""


@dataclass(frozen=True, slots=True)
class Compared:
    """What checkpoints are compared on."""

    images: int
    """Those of all folds together."""
    folds: int = 1
    """Each of which is judged for itself, with the study file's own prompts, and those outside the data set, too."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """What an exam's rows depend on beside itself."""

    held_out: Compared
    own_prompts: int
    """Prompts that the study file gives; 0 where captions are taken."""
    picture: float
    """Rows that a picture costs."""
    needs: frozenset[Need] = frozenset({"losses"})
    """Of the metrics that the objective weighs."""

    @classmethod
    def of(cls, judge: JudgeSection, held_out: Compared, needs: frozenset[Need]) -> Sizes:
        """Those of a judge."""
        settings = RenderSettings(judge.steps, judge.guidance, 0, 0, guided=judge.guided)
        rows = judge.steps + settings.guided_steps + ROWS_PER_PICTURE
        return cls(held_out, len(judge.prompts), rows, needs)

    def rows(self, exam: Exam) -> float:
        """What an exam of one checkpoint costs."""
        return self._losses(exam) + self._pictures(exam) + self._outside(exam)

    def within(self, exam: Exam, rows: float) -> Exam:
        """The exam, made smaller until it fits, or until nothing can be spared: by what is not weighed, losses and
        prompts outside the data set, then where it costs most."""
        if "losses" not in self.needs:
            others = self.rows(exam) - self._losses(exam)
            fitting = int((rows - others) / max(1, self.held_out.images))
            exam = replace(exam, timesteps=min(exam.timesteps, max(LEAST_TIMESTEPS_UNWEIGHED, fitting)))
        if "outside" not in self.needs and self.rows(exam) > rows:
            exam = replace(exam, outside=min(exam.outside, LEAST_OUTSIDE))
        while self.rows(exam) > rows:
            choices = sorted(self._smaller(exam), key=lambda choice: -choice[0])
            if not choices:
                break
            exam = choices[0][1]
        return exam

    def _smaller(self, exam: Exam) -> Iterator[tuple[float, Exam]]:
        """Each way to spare something, with what that part costs now."""
        if "losses" in self.needs and exam.timesteps > LEAST_TIMESTEPS:
            yield self._losses(exam), replace(exam, timesteps=exam.timesteps - 1)
        if exam.seeds_per_prompt > (2 if "seeds" in self.needs else 1):
            yield self._pictures(exam), replace(exam, seeds_per_prompt=exam.seeds_per_prompt - 1)
        elif self._prompts(exam) > max(LEAST_PROMPTS, self.held_out.folds) and not self.own_prompts:
            fewer = self._prompts(exam) - self.held_out.folds
            yield self._pictures(exam), replace(exam, prompt_count=fewer)
        if exam.outside > LEAST_OUTSIDE:
            yield self._outside(exam), replace(exam, outside=exam.outside - 1)

    def _prompts(self, exam: Exam) -> int:
        folds = self.held_out.folds
        captions = min(shared_out(exam.prompt_count, folds) * folds, self.held_out.images)
        return self.own_prompts * folds or captions

    def _losses(self, exam: Exam) -> float:
        return float(self.held_out.images * exam.timesteps)

    def _pictures(self, exam: Exam) -> float:
        return self._prompts(exam) * exam.seeds_per_prompt * self.picture

    def _outside(self, exam: Exam) -> float:
        return exam.outside * self.held_out.folds * self.picture


def affordable(spec: StudySpec, dataset: Dataset) -> StudySpec:
    """The study with a judge that keeps to its share of the training."""
    compared = held_out(spec, dataset)
    epoch = Planner(spec, dataset, 0).usual_epoch() * compared.folds
    judge = everyday(spec.judge, compared, epoch, needed(spec))
    return spec.model_copy(update={"judge": judge})


def needed(spec: StudySpec) -> frozenset[Need]:
    """What the metrics that a study weighs need, and its guard on the training gap."""
    guarded: frozenset[Need] = frozenset() if spec.guards.training_gap == "off" else frozenset({"training"})
    return guarded.union(*(METRICS[name].needs for name, weight in spec.objective.items() if weight))


def lowered(asked: BaseModel, given: BaseModel) -> dict[str, tuple[float, float]]:
    """What was made less to keep to the share: of each field what was asked and what was given."""
    before, after = asked.model_dump(), given.model_dump()
    return {name: (before[name], after[name]) for name in before if before[name] != after[name]}


def held_out(spec: StudySpec, dataset: Dataset) -> Compared:
    """On what a study's checkpoints are compared."""
    folds = folds_of(dataset, spec.shared_plan.data.fold)
    return Compared(sum(len(fold.captions) for fold in folds), len(folds))


def everyday(
    judge: JudgeSection, compared: Compared, epoch_images: int, needs: frozenset[Need]
) -> JudgeSection:
    """How every checkpoint is judged, within the share of one epoch's training.

    Args:
        judge: as the study file has it: at most that.
        compared: what checkpoints are compared on.
        epoch_images: that all runs of a trial train on in an epoch.
        needs: of the weighed metrics.
    """
    rows = judge.share * SEARCHING * ROWS_PER_TRAINED_IMAGE * epoch_images
    found = judge
    for change in (
        {"steps": min(judge.steps, ENOUGH_STEPS), "guided": min(judge.guided, ENOUGH_GUIDED)},
        {"seen_images": min(judge.seen_images, LEAST_SEEN if "training" in needs else 1)},
        {"outside_prompt_count": min(judge.outside_prompt_count, LEAST_OUTSIDE * ("outside" in needs))},
    ):
        if everyday_rows(found, compared) > rows:
            found = found.model_copy(update=change)
    sizes, seen = Sizes.of(found, compared, needs), found.seen_images * compared.folds * found.timesteps
    spared = sizes.within(Exam.everyday(found, "", found.outside_prompt_count), rows - seen)
    found = found.model_copy(
        update={
            "timesteps": spared.timesteps,
            "prompt_count": spared.prompt_count,
            "seeds_per_prompt": spared.seeds_per_prompt,
        }
    )
    while everyday_rows(found, compared) > rows and found.steps > LEAST_STEPS:
        found = found.model_copy(update={"steps": found.steps - 1})
    return found


def everyday_rows(judge: JudgeSection, compared: Compared) -> float:
    """What one checkpoint of the search costs to judge."""
    exam = Exam.everyday(judge, "", judge.outside_prompt_count)
    return (
        Sizes.of(judge, compared, frozenset()).rows(exam)
        + judge.seen_images * compared.folds * judge.timesteps
    )


def left(judge: JudgeSection, compared: Compared, trained: int, checkpoints: int) -> float:
    """Rows that are left for finalists and test after a search.

    Args:
        judge: which scored every checkpoint.
        compared: on what.
        trained: images that all trials were trained on.
        checkpoints: how many were scored.
    """
    whole = judge.share * ROWS_PER_TRAINED_IMAGE * trained
    return max(whole - checkpoints * everyday_rows(judge, compared), whole * (1 - SEARCHING) / 2)


def confirmation(confirm: ConfirmSection, sizes: Sizes, rows: float, averages: int = 0) -> ConfirmSection:
    """How finalists are judged again, within so many rows: first all of them, then those that are still open.

    Args:
        confirm: as the study file has it: at most that.
        sizes: of the judge.
        rows: that all rounds may cost together.
        averages: of checkpoints, measured in every round as the winner is.
    """
    beside = averages + 1  # the bare base model
    least = sizes.rows(sizes.within(Exam.thorough(confirm, "validation", ""), 0))
    finalists = int(max(min(2, confirm.finalists), min(confirm.finalists, rows / 2 / least - beside)))
    exam = sizes.within(Exam.thorough(confirm, "validation", ""), rows / 2 / (finalists + beside))
    left = rows - (finalists + beside) * sizes.rows(exam)
    rounds = 1 + int(max(0.0, left) / ((MEASUREMENTS_AT_ONCE + beside) * sizes.rows(exam)))
    return confirm.model_copy(
        update={
            "finalists": finalists,
            "timesteps": exam.timesteps,
            "prompt_count": exam.prompt_count,
            "seeds_per_prompt": exam.seeds_per_prompt,
            "outside_prompt_count": exam.outside,
            "rounds": min(confirm.rounds, rounds),
        }
    )
