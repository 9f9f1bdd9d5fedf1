"""Judges LoRA files of any trainer on one loaded base model, as a study judges its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor

from evaluation.judge import Judge
from evaluation.scorecard import ScoreCard
from search.selection import Candidate
from studies.engines.judge_builder import JudgeBuilder
from studies.engines.units import measured_units
from studies.selection.file_slots import FileSlots
from studies.selection.judge_request import JudgeRequest
from studies.selection.selection import Tested
from studies.spec.sections import ConfirmSection
from studies.study.exam import Exam


class FileJudge:
    """The loaded base model, a bank for some files at a time, and the judges."""

    def __init__(self, request: JudgeRequest, told: Callable[[str], None]) -> None:
        self._request, self._told = request, told
        told("loading the base model")
        self._slots = FileSlots.load(request)
        if request.judge.clip:
            told(f"loading {request.judge.clip}")
        self._builder = JudgeBuilder(
            request.judge, self._slots.data, self._slots.bank, request.seed, request.resolution
        )
        told("measuring the base model")
        self._again: dict[str, Judge] = {}
        self._everyday = self._builder.build(Exam.everyday(request.judge, "search"))
        self.base_renders = self._everyday.base.renders[0]
        """Of the prompts that every file renders: shape (prompts, 3, height, width)."""

    @property
    def prompts(self) -> tuple[str, ...]:
        """What the pictures of ``score`` show."""
        return self._everyday.panel.prompts

    def measure_units(self) -> dict[str, float]:
        """What one unit of each metric is in the objective."""
        again = self._builder.build(Exam.everyday(self._request.judge, "again"))
        return measured_units([self._everyday], [again], self._request.objective)

    def score(self, which: Sequence[int]) -> list[tuple[ScoreCard, Tensor]]:
        """Cards and renders of files, by their places in the request."""
        return self._scored(which, self._everyday, "scoring")

    @property
    def care(self) -> ConfirmSection:
        """How finalists are judged again: nothing is trained here that judging could be a share of."""
        return self._request.confirm

    def confirm(self, finalists: Sequence[Candidate], label: str) -> list[ScoreCard]:
        """Files with the label's seeds and more of everything."""
        if label not in self._again:
            exam = Exam.thorough(self._request.confirm, "validation", label)
            self._again[label] = self._builder.build(exam)
        which = [finalist.trial for finalist in finalists]
        scored = self._scored(which, self._again[label], "judging again", outside=True)
        return [card for card, _ in scored]

    def average(self, members: Sequence[Candidate], epoch: int) -> None:
        """Files of other trainers are chosen among as they are."""

    def test(self, winner: Candidate, recipes: Sequence[Candidate]) -> Tested | None:
        """The winner on images that nothing was chosen by, beside recipes; None where there are none."""
        if not self._request.images.dataset.split.test:
            return None
        judge = self._builder.build(Exam.thorough(self._request.confirm, "test", "test"))
        everyone = [winner, *recipes]
        scored = self._scored([one.trial for one in everyone], judge, "testing", outside=True)
        first, *others = [card for card, _ in scored]
        return Tested(first, {one.key: card for one, card in zip(recipes, others, strict=True)})

    def _scored(
        self, which: Sequence[int], judge: Judge, verb: str, outside: bool = False
    ) -> list[tuple[ScoreCard, Tensor]]:
        scored: list[tuple[ScoreCard, Tensor]] = []
        waiting = list(which)
        while waiting:
            subjects = self._slots.fill(waiting)
            count = len(subjects)
            names = [self._request.files[i].path.name for i in waiting[:count]]
            self._told(f"{verb} {', '.join(names)}")
            scored += judge.score(subjects, asked=range(count) if outside else ())
            self._slots.empty(count)
            del waiting[:count]
        return scored
