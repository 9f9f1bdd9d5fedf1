"""How a study's checkpoints are judged while it lasts."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from search.memory import Memory
from studies.spec.sections import JudgeSection
from studies.spec.study_file import StudySpec
from studies.study.allowance import affordable
from trainer.data.dataset import Dataset

_REMEMBERED = "judged"


class _Judged(BaseModel):
    """How the study file asked to judge, and how it is judged."""

    model_config = ConfigDict(frozen=True)

    asked: JudgeSection
    given: JudgeSection


def judged(memory: Memory, spec: StudySpec, dataset: Dataset) -> StudySpec:
    """The study as its checkpoints are judged: as they were while the file asks the same, else within the share.

    A study that began before there was a share goes on as it began.
    """
    stored = memory.recall(_REMEMBERED)
    if stored is None:
        return spec if memory.records() else affordable(spec, dataset)
    before = _Judged.model_validate(stored)
    if before.asked != spec.judge:
        return affordable(spec, dataset)
    return spec.model_copy(update={"judge": before.given})


def remember(memory: Memory, asked: StudySpec, given: StudySpec) -> None:
    """Keeps how a study is judged."""
    memory.remember(_REMEMBERED, _Judged(asked=asked.judge, given=given.judge).model_dump(mode="json"))
