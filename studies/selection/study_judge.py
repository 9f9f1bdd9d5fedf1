"""A study's engine as the judge of its finalists: they are measured from their files, the test images once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from pydantic import BaseModel

from evaluation.scorecard import ScoreCard
from search.selection import Candidate
from search.trial import Proposal, Reason
from studies.engines.engine import Engine
from studies.selection import finalist_files
from studies.selection.document import Key
from studies.selection.selection import RetrainingError, Tested
from studies.spec.sections import ConfirmSection
from studies.study import allowance
from studies.study.exam import Exam
from studies.study.study import Study
from studies.study.trial import Trial

TEST_CARE = 4
"""How many times the confirmation's timesteps, seeds and other prompts the test has, which meets few checkpoints."""
TESTED = "tested"
"""Where the memory keeps what the test images said of every checkpoint that ever met them."""


@dataclass(frozen=True, slots=True)
class StudyJudge:
    """A study's engine, which measures finalists from their files."""

    study: Study
    engine: Engine
    trials: Sequence[Trial]

    @property
    def care(self) -> ConfirmSection:
        """How finalists are judged again: what is left of the judge's share decides."""
        confirm = self.study.spec.confirm
        return allowance.confirmation(
            confirm, self._sizes, self._confirming, allowance.AVERAGES * confirm.averages
        )

    def confirm(self, finalists: Sequence[Candidate], label: str) -> Sequence[ScoreCard]:
        """Cards with the label's seeds, in the order of the finalists."""
        finalist_files.fetch(self.study, finalists)
        finalist_files.check_reach(self.study, finalists)
        keys = [finalist.key for finalist in finalists]
        return self.engine.examine(keys, Exam.thorough(self.care, "validation", label))

    def average(self, members: Sequence[Candidate], epoch: int) -> str | None:
        """Makes the file of an average in the first one's folder, with its settings, where there can be one, and where
        the judge's share has room for it."""
        exam = Exam.thorough(self.care, "validation", "")
        rows = (self.care.finalists + 1 + allowance.AVERAGES) * self._sizes.rows(exam)
        return finalist_files.average(self.study, members, epoch) if rows <= self._confirming else None

    def test(self, winner: Candidate, recipes: Sequence[Candidate]) -> Tested:
        """The file that is handed over on the test images, beside the recipes' last; each meets them once."""
        finalist_files.fetch(self.study, recipes)
        exam = self._test(1 + len(recipes))
        care = exam.timesteps, exam.prompt_count, exam.seeds_per_prompt, exam.outside
        if reason := self._make(winner):
            raise RetrainingError(winner.trial, reason)
        keys = [winner.key, *(one.key for one in recipes if self._make(one) is None)]
        met = [_Met.model_validate(entry) for entry in self.study.memory.recall(TESTED) or []]
        known = {one.key: one.scores for one in met if one.care == care}
        missing = [key for key in keys if key not in known]
        if missing:
            for key, card in zip(missing, self.engine.examine(missing, exam), strict=True):
                known[key] = card
                met.append(_Met(trial=key[0], epoch=key[1], care=care, scores=card, won=key == winner.key))
            self.study.memory.remember(TESTED, [one.model_dump(mode="json") for one in met])
        before = dict.fromkeys(one.trained.key for one in met if one.won and one.key != winner.key)
        return Tested(
            known[winner.key],
            {key: known[key] for key in keys[1:]},
            tuple(Key(trial=trial, epoch=epoch) for trial, epoch in before),
        )

    def _test(self, checkpoints: int) -> Exam:
        whole = Exam.thorough(self.study.spec.confirm, "test", "test", TEST_CARE)
        sizes = replace(self._sizes, held_out=allowance.Compared(len(self.study.dataset.split.test)))
        return sizes.within(whole, self._left * allowance.TESTING / (checkpoints + 1))

    @property
    def _confirming(self) -> float:
        """Rows that judging finalists again may cost."""
        return self._left * (1 - allowance.TESTING)

    @property
    def _sizes(self) -> allowance.Sizes:
        spec = self.study.spec
        return allowance.Sizes.of(spec.judge, self._compared, allowance.needed(spec))

    @property
    def _compared(self) -> allowance.Compared:
        return allowance.held_out(self.study.spec, self.study.dataset)

    @property
    def _left(self) -> float:
        trained = sum(trial.images_trained for trial in self.trials)
        checkpoints = sum(len(trial.checkpoints) for trial in self.trials)
        return allowance.left(self.study.spec.judge, self._compared, trained, checkpoints)

    def _make(self, one: Candidate) -> Reason | None:
        """Where trials hold out folds, the file is trained on all of them; why it could not be."""
        proposal = Proposal(one.trial, dict(self.trials[one.trial].values))
        reason = self.engine.retrain_on_all(proposal, one.epoch)
        if reason is None and self.study.transfer:
            self.study.transfer.push(self.study.workspace.trial(one.trial))
        return reason


class _Met(BaseModel):
    """A checkpoint that has met the test images."""

    trial: int
    epoch: int
    care: tuple[int, ...]
    """Timesteps an image, how many captions were rendered, with how many seeds, and how many prompts outside."""
    scores: ScoreCard
    won: bool = True
    """Whether it was the winner then, not a recipe that the winner was compared with."""

    @property
    def key(self) -> tuple[int, int]:
        return self.trial, self.epoch

    @property
    def trained(self) -> Key:
        return Key(trial=self.trial, epoch=self.epoch).trained
