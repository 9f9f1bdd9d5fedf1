"""Averages of checkpoints as candidates: one wins where it is better than the winner beyond the error."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import Protocol

from evaluation.pooling import repeated
from evaluation.scorecard import ScoreCard
from search.objective import Measurement
from search.selection import CLEAR, Candidate, contenders, lead
from studies.selection import document
from studies.selection.confirmation import Confirmed, seeds_of
from studies.selection.document import APART, Key, estimated
from studies.study.allowance import AVERAGES


class AverageJudge(Protocol):
    """Whoever makes averages and measures them."""

    def average(self, members: Sequence[Candidate], epoch: int) -> str | None:
        """Makes the file of an average, kept as an epoch of the first one's trial; None where they have none."""

    def confirm(self, finalists: Sequence[Candidate], label: str) -> Sequence[ScoreCard]:
        """Cards with the seeds of that label, in the order of the finalists."""


@dataclass(frozen=True, slots=True)
class MeasuredAverage:
    """An average that was measured."""

    members: tuple[Candidate, ...]
    """The winner first."""
    candidate: Candidate
    """With its own epoch, as it was measured."""
    ahead: Measurement
    """Of the winner, on the same cells."""
    file: str
    scores: ScoreCard

    def told(self, won: bool) -> document.AverageFound:
        """As the document has it."""
        return document.AverageFound(
            members=tuple(Key.of(one) for one in self.members),
            objective=estimated(self.candidate.objective),
            lead=estimated(self.ahead),
            barred=self.candidate.barred,
            won=won,
            file=self.file,
            scores=self.scores,
        )


def tried(
    everyone: Iterable[Candidate],
    found: Confirmed,
    judge: AverageJudge,
    again: Callable[[Candidate, ScoreCard], Candidate],
) -> list[MeasuredAverage]:
    """Averages around the winner of a confirmation, measured as often and on the same cells as it was.

    Args:
        everyone: all checkpoints.
        found: the confirmation.
        judge: makes and measures them.
        again: the winner with other scores.
    """
    winner = found.decision.winner
    made: list[tuple[tuple[Candidate, ...], Candidate, str]] = []
    for place, members in enumerate(_groups(everyone, found), 1):
        epoch = place * APART + winner.epoch
        if file := judge.average(members, epoch):
            made.append((members, replace(winner, epoch=epoch), file))
    if not made:
        return []
    rounds = found.rounds[found.confirmed.index(winner)]
    cards = [judge.confirm([one for _, one, _ in made], seeds_of(number)) for number in range(1, rounds + 1)]
    averages = []
    for place, (members, one, file) in enumerate(made):
        scores = repeated([of[place] for of in cards])
        measured = replace(again(winner, scores), epoch=one.epoch)
        averages.append(MeasuredAverage(members, measured, lead(measured, winner), file, scores))
    return averages


def best(averages: Sequence[MeasuredAverage]) -> MeasuredAverage | None:
    """The average that is furthest ahead of the winner, if that is more than noise explains; None if none is.

    What several are tried for, chance has as many tries at: the error is counted as many times more strictly.
    """
    usable = [
        one
        for one in averages
        if one.candidate.barred is None
        and one.scores.unusable is None
        and one.ahead.mean > _errors(len(averages)) * one.ahead.standard_error
    ]
    return max(usable, key=lambda one: one.ahead.mean, default=None)


def _groups(everyone: Iterable[Candidate], found: Confirmed) -> list[tuple[Candidate, ...]]:
    """What is averaged, the winner first: with the epochs beside it; with finalists not behind, one a trial."""
    winner = found.decision.winner
    own = sorted((one for one in everyone if one.trial == winner.trial), key=lambda one: one.epoch)
    place = [one.epoch for one in own].index(winner.epoch)
    beside = [one for one in own[max(0, place - 1) : place + 2] if one.epoch != winner.epoch]
    others: dict[int, Candidate] = {}
    for one in contenders(found.confirmed):
        if one.trial != winner.trial and one.barred is None:
            others.setdefault(one.trial, one)
    groups = [(winner, *beside), (winner, *others.values())]
    return [group for group in groups if len(group) > 1][:AVERAGES]


def _errors(count: int) -> float:
    """Standard errors beyond which one of so many is ahead as rarely as a single one is by `CLEAR` of them."""
    normal = NormalDist()
    return normal.inv_cdf(1 - (1 - normal.cdf(CLEAR)) / count)
