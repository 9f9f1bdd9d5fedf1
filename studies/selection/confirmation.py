"""Judging finalists again with fresh seeds until their order is settled or the rounds are spent."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain

from evaluation.pooling import repeated
from evaluation.scorecard import ScoreCard
from search.selection import Candidate, Decision, Preference, contenders, decide, shortlist
from studies.selection import document
from studies.selection.document import Finalist, Key, estimated
from studies.spec.sections import ConfirmSection

SHORTLISTS = 3
"""How many lists of finalists are judged again at most while guards bar all of them."""

Measure = Callable[[Sequence[Candidate], str], Sequence[ScoreCard]]
"""Cards with the seeds of a label, in the order of the finalists."""
Again = Callable[[Candidate, ScoreCard], Candidate]
"""A finalist with its fresh scores."""


@dataclass(frozen=True, slots=True)
class Confirmed:
    """What it has come to; the sequences run side by side, one entry a finalist."""

    decision: Decision
    finalists: Sequence[Candidate]
    """As they were first scored."""
    confirmed: Sequence[Candidate]
    scores: Sequence[ScoreCard]
    rounds: Sequence[int]
    """How often each was measured again."""
    care: ConfirmSection
    """How thoroughly."""

    def told(self) -> document.Confirmation:
        """As the document has it."""
        side_by_side = zip(self.finalists, self.confirmed, self.scores, self.rounds, strict=True)
        return document.Confirmation(
            separable=self.decision.separable,
            best=Key.of(self.decision.best),
            rounds=max(self.rounds),
            care=self.care,
            finalists=tuple(
                Finalist(
                    trial=before.trial,
                    epoch=before.epoch,
                    images_seen=before.images_seen,
                    objective_before=estimated(before.objective),
                    objective=estimated(after.objective),
                    close=after in self.decision.close,
                    barred=after.barred,
                    rounds=rounds,
                    scores=scores,
                )
                for before, after, scores, rounds in side_by_side
            ),
        )


def confirm(
    everyone: Sequence[Candidate],
    settings: ConfirmSection,
    preference: Preference,
    measure: Measure,
    again: Again,
) -> Confirmed:
    """Judges the shortlist again; while guards bar all of it, also those who come next.

    Raises:
        NothingToSelect: nobody has a finite objective.
    """
    lists, left = list[Confirmed](), list(everyone)
    while left and len(lists) < SHORTLISTS and all(one.decision.winner.barred for one in lists):
        finalists = shortlist(left, settings.finalists, preference)
        lists.append(_measured(finalists, settings, preference, measure, again))
        left = [candidate for candidate in left if candidate.barred is None and candidate not in finalists]
    confirmed = list(chain.from_iterable(one.confirmed for one in lists))
    return Confirmed(
        decide(confirmed, contenders(confirmed), preference),
        list(chain.from_iterable(one.finalists for one in lists)),
        confirmed,
        list(chain.from_iterable(one.scores for one in lists)),
        list(chain.from_iterable(one.rounds for one in lists)),
        settings,
    )


def seeds_of(number: int) -> str:
    """The label of a round's seeds, from 1."""
    return "confirmation" if number == 1 else f"confirmation {number}"


def _measured(
    finalists: Sequence[Candidate],
    settings: ConfirmSection,
    preference: Preference,
    measure: Measure,
    again: Again,
) -> Confirmed:
    """One list; from the second round on only those are measured that are not yet clearly behind."""
    measured: list[list[ScoreCard]] = [[] for _ in finalists]
    going = list(range(len(finalists)))
    for number in range(1, settings.rounds + 1):
        for i, card in zip(going, measure([finalists[i] for i in going], seeds_of(number)), strict=True):
            measured[i].append(card)
        cards = [repeated(of) for of in measured]
        confirmed = [again(f, card) for f, card in zip(finalists, cards, strict=True)]
        ahead = contenders(confirmed)
        decision = decide(confirmed, ahead, preference)
        if decision.separable:
            break
        going = [i for i, finalist in enumerate(confirmed) if finalist in ahead]
    return Confirmed(decision, finalists, confirmed, cards, [len(of) for of in measured], settings)
