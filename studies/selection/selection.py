"""From scored checkpoints to the one that is handed over: shortlist, confirmation, test.

One flow for a study and for files that ``judge`` is given: only who measures differs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from evaluation.scorecard import ScoreCard
from search.selection import Candidate, NothingToSelect, Preference, contenders, decide, lead
from search.trial import Reason
from studies.selection import document
from studies.selection.answer import answers
from studies.selection.averages import MeasuredAverage, best, tried
from studies.selection.confirmation import Confirmed, confirm
from studies.selection.document import Baseline, Key, Selection, Winner, considered, estimated
from studies.selection.rule import Rule
from studies.spec.sections import ConfirmSection
from studies.study.trial import Checkpoint


class RetrainingError(Exception):
    """The winner could not be trained on all folds."""

    def __init__(self, trial: int, reason: Reason) -> None:
        super().__init__(trial, reason)
        self.trial, self.reason = trial, reason


class FinalistJudge(Protocol):
    """Whoever measures finalists again."""

    @property
    def care(self) -> ConfirmSection:
        """How many, how thoroughly and how often."""

    def confirm(self, finalists: Sequence[Candidate], label: str) -> Sequence[ScoreCard]:
        """Cards with the seeds of that label, in the order of the finalists."""

    def average(self, members: Sequence[Candidate], epoch: int) -> str | None:
        """Makes the file of an average, kept as an epoch of the first one's trial; None where they have none."""

    def test(self, winner: Candidate, recipes: Sequence[Candidate]) -> Tested | None:
        """The winner on images that nothing was chosen by, beside recipes; None where there are none."""


@dataclass(frozen=True, slots=True)
class Tested:
    """What the test images said."""

    scores: ScoreCard
    """The winner's."""
    baselines: Mapping[tuple[int, int], ScoreCard] = field(default_factory=dict)
    """Of those that could be tested, on the same cells, by trial and epoch."""
    before: tuple[Key, ...] = ()
    """Earlier winners that have met these images."""


@dataclass(frozen=True, slots=True)
class Selector:
    """Who may win, and by what rule."""

    name: str
    seed: int
    trials: int
    rule: Rule
    checkpoints: Sequence[Checkpoint]
    baselines: Sequence[Checkpoint] = ()
    """Last epochs of the recipes that people would have trained without a search."""

    def choose(self, judge: FinalistJudge) -> Selection:
        """Judges the best again with fresh seeds, chooses, and tests the choice once.

        Raises:
            NothingToSelect: no checkpoint is usable.
        """
        everyone = self._candidates()
        found = confirm(everyone, judge.care, self._preference, judge.confirm, self._again)
        winner = found.decision.winner
        others = [self.rule.candidate(one) for one in self.baselines if one.key != winner.key]
        averages = tried(everyone, found, judge, self._again) if self.rule.confirm.averages else []
        better = best(averages)
        told = _with_averages(self.told(everyone, winner, found), averages, better)
        images = len(found.scores[0].validation_by_image)
        tested = judge.test(better.candidate if better else winner, others)
        if tested is None:
            return told.model_copy(update={"answers": answers(found.decision, None, (), images)})
        met = self._again(winner, tested.scores)
        baselines = tuple(
            self._baseline(met, self._again(one, scores), scores)
            for one in others
            if (scores := tested.baselines.get(one.key))
        )
        return told.model_copy(
            update={
                "test": tested.scores,
                "tested_before": tested.before,
                "baselines": baselines,
                "answers": answers(found.decision, met, baselines, images),
            }
        )

    def provisional(self) -> Selection:
        """The choice by the search's scores alone.

        Raises:
            NothingToSelect: no checkpoint is usable.
        """
        everyone = self._candidates()
        return self.told(everyone, self._preference.choose(everyone))

    def weigh(self, heard: document.Confirmation | None) -> Selection:
        """As ``provisional``; where the leader was judged again, the choice is made among all that were.

        Raises:
            NothingToSelect: no checkpoint is usable.
        """
        everyone = self._candidates()
        leader = self._preference.choose(everyone)
        fresh = {one.key: one for one in heard.finalists} if heard else {}
        if heard is None or leader.key not in fresh:
            return self.told(everyone, leader)
        before = [one for one in everyone if one.key in fresh]
        found = [fresh[one.key] for one in before]
        again = [self._again(one, f.scores) for one, f in zip(before, found, strict=True)]
        decision = decide(again, contenders(again), self._preference)
        cards, rounds = [f.scores for f in found], [f.rounds for f in found]
        confirmed = Confirmed(decision, before, again, cards, rounds, heard.care)
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
            winner=Winner(**dict(winner), recipe=choice.key in self._preference.recipes),
            confirmation=confirmed.told() if confirmed else None,
            shares_of_variance=self.rule.shares(everyone),
            pareto=tuple(Key.of(one) for one in self.rule.front(list(everyone))),
            candidates=tuple(considered(one, by_key.get(one.key)) for one in self.checkpoints),
        )

    @property
    def _preference(self) -> Preference:
        by = self.rule.confirm
        return Preference(by.preference, by.recipe_margin, {one.key for one in self.baselines})

    def _baseline(self, winner: Candidate, recipe: Candidate, scores: ScoreCard) -> Baseline:
        ahead = lead(winner, recipe)
        return Baseline(
            trial=recipe.trial,
            epoch=recipe.epoch,
            images_seen=recipe.images_seen,
            scores=scores,
            lead=estimated(ahead),
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


def _with_averages(
    told: Selection, averages: Sequence[MeasuredAverage], better: MeasuredAverage | None
) -> Selection:
    """The document with what was averaged; the winner's file is that of the average that won."""
    if not averages:
        return told
    winner = told.winner
    if better:
        members = tuple(Key.of(one) for one in better.members)
        winner = winner.model_copy(update={"file": better.file, "average_of": members})
    tried = tuple(one.told(one is better) for one in averages)
    return told.model_copy(update={"winner": winner, "averages": tried})
