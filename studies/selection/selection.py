"""From scored checkpoints to the one that is handed over: shortlist, confirmation, test.

One flow for a study and for files that ``judge`` is given: only who measures differs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pydantic import BaseModel

from evaluation.scorecard import ScoreCard
from search.objective import Weights
from search.selection import Candidate, NothingToSelect, contenders, decide, earliest
from search.trial import Proposal, Reason, Value
from studies.engines.engine import Engine, Exam
from studies.errors import StudyError
from studies.selection import document
from studies.selection.confirmation import Confirmed, confirm
from studies.selection.document import Key, Selection, Winner, considered
from studies.selection.rule import Rule
from studies.study.study import SPREADS, VERDICT, Study
from studies.study.trial import Checkpoint, Trial, read_trials
from studies.workspace import copy_whole

TEST_CARE = 4
"""How many times the confirmation's timesteps, seeds and other prompts the winner, alone, meets in the test."""
TESTED = "tested"
"""Where the memory keeps what the test images said of every checkpoint that ever won."""


class RetrainingError(Exception):
    """The winner could not be trained on all folds."""

    def __init__(self, trial: int, reason: Reason) -> None:
        super().__init__(trial, reason)
        self.trial, self.reason = trial, reason


class FinalistJudge(Protocol):
    """Whoever measures finalists again."""

    def confirm(self, finalists: Sequence[Candidate], label: str) -> Sequence[ScoreCard]:
        """Cards with the seeds of that label, in the order of the finalists."""

    def test(self, winner: Candidate) -> Tested | None:
        """The winner on images that nothing was chosen by; None where there are none."""


@dataclass(frozen=True, slots=True)
class Tested:
    """What the test images said."""

    scores: ScoreCard
    before: tuple[Key, ...] = ()
    """Other checkpoints that have met these images."""


@dataclass(frozen=True, slots=True)
class Selector:
    """Who may win, and by what rule."""

    name: str
    seed: int
    trials: int
    rule: Rule
    checkpoints: Sequence[Checkpoint]

    def choose(self, judge: FinalistJudge) -> Selection:
        """Judges the best again with fresh seeds, chooses, and tests the choice once.

        Raises:
            NothingToSelect: no checkpoint is usable.
        """
        everyone = self._candidates()
        found = confirm(everyone, self.rule.confirm, judge.confirm, self._again)
        winner = found.decision.winner
        tested = judge.test(winner)
        return self.told(everyone, winner, found).model_copy(
            update={
                "test": tested.scores if tested else None,
                "tested_before": tested.before if tested else (),
            }
        )

    def provisional(self) -> Selection:
        """The choice by the search's scores alone.

        Raises:
            NothingToSelect: no checkpoint is usable.
        """
        everyone = self._candidates()
        return self.told(everyone, earliest(everyone, self.rule.confirm.preference))

    def weigh(self, finalists: Sequence[document.Finalist]) -> Selection:
        """As ``provisional``; where the leader was judged again, the choice is made among all that were.

        Raises:
            NothingToSelect: no checkpoint is usable.
        """
        everyone = self._candidates()
        leader = earliest(everyone, self.rule.confirm.preference)
        fresh = {one.key: one for one in finalists}
        if leader.key not in fresh:
            return self.told(everyone, leader)
        before = [one for one in everyone if one.key in fresh]
        found = [fresh[one.key] for one in before]
        again = [self._again(one, f.scores) for one, f in zip(before, found, strict=True)]
        decision = decide(again, contenders(again), self.rule.confirm.preference)
        confirmed = Confirmed(decision, before, again, [f.scores for f in found], [f.rounds for f in found])
        return self.told(everyone, decision.winner, confirmed)

    def told(
        self, everyone: Sequence[Candidate], choice: Candidate, confirmed: Confirmed | None = None
    ) -> Selection:
        """The document of a choice."""
        by_key = {one.key: one for one in everyone}
        winner = considered(self._checkpoint(choice), choice)
        return Selection(
            name=self.name,
            seed=self.seed,
            trials=self.trials,
            rule=self.rule,
            winner=Winner(**dict(winner)),
            confirmation=confirmed.told() if confirmed else None,
            shares_of_variance=self.rule.shares(everyone),
            pareto=tuple(Key.of(one) for one in self.rule.front(list(everyone))),
            candidates=tuple(considered(one, by_key.get(one.key)) for one in self.checkpoints),
        )

    def _candidates(self) -> list[Candidate]:
        found = self.rule.candidates(self.checkpoints)
        if not found:
            raise NothingToSelect("No checkpoint has a finite objective, so there is nothing to select.")
        return found

    def _checkpoint(self, candidate: Candidate) -> Checkpoint:
        return next(one for one in self.checkpoints if one.key == candidate.key)

    def _again(self, finalist: Candidate, fresh: ScoreCard) -> Candidate:
        return self.rule.candidate(self._checkpoint(finalist), fresh)


def conclude(study: Study, engine: Engine) -> Selection:
    """Chooses among all checkpoints, confirms with fresh seeds, tests once, and writes best.safetensors.

    A choice that already stands on the same trials, by the same rule, is not made again; of several runners one
    makes it. A checkpoint meets the test images once: where it wins again, what was measured then counts.

    Raises:
        NothingToSelect: no checkpoint is usable.
        RetrainingError: the winner cannot be trained on all folds.
        StudyError: its files are out of reach.
    """

    def standing() -> Selection | None:
        found = document.parse(study.memory.recall(VERDICT))
        rule = Rule.of(study.spec)
        return found if found and found.stands(rule, len(study.memory.records())) else None

    def reach() -> None:
        trials = read_trials(study.memory)
        selector = _selector(study, trials)
        selection = with_parameters(selector.choose(_StudyJudge(study, engine, trials)), trials)
        study.memory.remember(VERDICT, selection.to_json())

    study.leases.once("verdict", lambda: standing() is not None, reach)
    found = document.parse(study.memory.recall(VERDICT))
    assert found is not None
    file = study.workspace.root / found.winner.file
    if study.transfer:
        _gather(study, file)
    copy_whole(file, study.workspace.best)
    return found


def provisional(study: Study, weights: Weights | None = None) -> Selection:
    """A choice from stored scores alone: nothing is judged again, nothing tested.

    With weights: where the leader by them was judged again for the study's verdict, the choice is made among the
    finalists, by what was measured then.

    Args:
        study: opened.
        weights: of the metrics in the objective; None takes the study file's.

    Raises:
        NothingToSelect: no checkpoint is usable yet.
        StudyError: a weighted metric was not measured in this study.
    """
    trials = read_trials(study.memory)
    selector = _selector(study, trials, weights)
    if weights is None:
        return with_parameters(selector.provisional(), trials)
    _check_measured(selector.rule)
    standing = document.parse(study.memory.recall(VERDICT))
    return with_parameters(selector.weigh(standing.finalists if standing else ()), trials)


def with_parameters(selection: Selection, trials: Sequence[Trial]) -> Selection:
    """The selection with the searched parameters of the winner's trial."""
    params: dict[str, Value] = dict(trials[selection.winner.trial].values)
    return selection.model_copy(update={"winner": selection.winner.model_copy(update={"params": params})})


def _selector(study: Study, trials: Sequence[Trial], weights: Weights | None = None) -> Selector:
    rule = Rule.of(study.spec, study.memory.recall(SPREADS))
    if weights is not None:
        rule = rule.model_copy(update={"weights": dict(weights)})
    checkpoints = [checkpoint for trial in trials for checkpoint in trial.checkpoints]
    return Selector(study.spec.study.name, study.seed, len(trials), rule, checkpoints)


def _check_measured(rule: Rule) -> None:
    missing = [name for name, weight in rule.weights.items() if weight > 0 and name not in rule.spreads]
    if missing:
        raise StudyError(
            f"{', '.join(missing)} was not measured in this study; weigh only: {', '.join(sorted(rule.spreads))}."
        )


@dataclass(frozen=True, slots=True)
class _StudyJudge:
    """A study's engine, which measures finalists from their files."""

    study: Study
    engine: Engine
    trials: Sequence[Trial]

    def confirm(self, finalists: Sequence[Candidate], label: str) -> Sequence[ScoreCard]:
        _bring(self.study, finalists)
        keys = [finalist.key for finalist in finalists]
        return self.engine.examine(keys, Exam.thorough(self.study.spec.confirm, "validation", label))

    def test(self, winner: Candidate) -> Tested:
        """The file that is handed over on the test images, once."""
        study, key = self.study, Key.of(winner)
        proposal = Proposal(winner.trial, dict(self.trials[winner.trial].values))
        if reason := self.engine.retrain_on_all(proposal, winner.epoch):
            raise RetrainingError(winner.trial, reason)
        if study.transfer:
            study.transfer.push(study.workspace.trial(winner.trial))
        exam = Exam.thorough(study.spec.confirm, "test", "test", TEST_CARE)
        met = [_Met.model_validate(entry) for entry in study.memory.recall(TESTED) or []]
        before = tuple(dict.fromkeys(one.key for one in met if one.key != key))
        care = exam.timesteps, exam.prompt_count
        known = next((one.scores for one in met if one.key == key and one.care == care), None)
        if known is None:
            (known,) = self.engine.examine([key.key], exam)
            met.append(_Met(trial=key.trial, epoch=key.epoch, care=care, scores=known))
            study.memory.remember(TESTED, [one.model_dump(mode="json") for one in met])
        return Tested(known, before)


class _Met(BaseModel):
    """A checkpoint that has met the test images."""

    trial: int
    epoch: int
    care: tuple[int, int]
    """Timesteps an image, and how many captions were rendered."""
    scores: ScoreCard

    @property
    def key(self) -> Key:
        return Key(trial=self.trial, epoch=self.epoch)


def _bring(study: Study, finalists: Sequence[Candidate]) -> None:
    """Fetches the finalists' files that other runners made.

    Raises:
        StudyError: there is no way to them.
    """
    for finalist in finalists:
        folder, pattern = study.workspace.trial(finalist.trial), f"*-{finalist.epoch:06d}.safetensors"
        if study.transfer:
            study.transfer.fetch(folder, pattern)
        if study.memory.is_shared and not list(folder.glob(pattern)):
            raise StudyError(
                f"{folder}: trial {finalist.trial} was trained by a runner whose folder this one cannot see; give all "
                "runners the same --workspace, or set storage.checkpoints in the study file, and run again."
            )


def _gather(study: Study, best: Path) -> None:
    """Brings what the report shows of other runners' trials: the best file, renders and artifacts."""
    assert study.transfer is not None
    study.transfer.fetch(best.parent, best.name)
    study.transfer.fetch(study.workspace.artifacts)
    for record in study.memory.records():
        study.transfer.fetch(study.workspace.trial(record.number), "*.png")
