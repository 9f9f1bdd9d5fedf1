"""Judging finalists again with fresh seeds until their order is settled or the rounds are spent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Protocol

from evaluation.pooling import repeated
from evaluation.scorecard import ScoreCard
from search.selection import Candidate, Decision, contenders, decide, shortlist
from studies.spec.sections import ConfirmSection

SHORTLISTS = 3
"""How many lists of finalists are heard at most while guards bar all of them."""


class Court(Protocol):
    """Who measures, and what a measurement makes of a candidate."""

    def measure(self, finalists: Sequence[Candidate], label: str) -> Sequence[ScoreCard]:
        """Cards with the seeds of that label, in the order of the finalists."""

    def again(self, finalist: Candidate, fresh: ScoreCard) -> Candidate:
        """The finalist with its fresh scores."""


@dataclass(frozen=True, slots=True)
class Hearing:
    """What it has come to; the sequences run side by side, one entry a finalist."""

    decision: Decision
    finalists: Sequence[Candidate]
    """As they were first scored."""
    confirmed: Sequence[Candidate]
    scores: Sequence[ScoreCard]
    rounds: Sequence[int]
    """How often each was measured again."""


def hear(court: Court, everyone: Sequence[Candidate], confirm: ConfirmSection) -> Hearing:
    """Hears the shortlist; while guards bar all who were heard, also those who come next.

    Raises:
        NothingToSelect: nobody has a finite objective.
    """
    heard, left = list[Hearing](), list(everyone)
    while left and len(heard) < SHORTLISTS and all(hearing.decision.winner.barred for hearing in heard):
        finalists = shortlist(left, confirm.finalists)
        heard.append(_measured(court, finalists, confirm))
        left = [candidate for candidate in left if candidate.barred is None and candidate not in finalists]
    confirmed = list(chain.from_iterable(hearing.confirmed for hearing in heard))
    return Hearing(
        decide(confirmed, contenders(confirmed), confirm.preference),
        list(chain.from_iterable(hearing.finalists for hearing in heard)),
        confirmed,
        list(chain.from_iterable(hearing.scores for hearing in heard)),
        list(chain.from_iterable(hearing.rounds for hearing in heard)),
    )


def _measured(court: Court, finalists: Sequence[Candidate], confirm: ConfirmSection) -> Hearing:
    """One list; from the second round on only those are measured that are not yet clearly behind."""
    heard: list[list[ScoreCard]] = [[] for _ in finalists]
    going = list(range(len(finalists)))
    for number in range(1, confirm.rounds + 1):
        label = "confirmation" if number == 1 else f"confirmation {number}"
        for i, card in zip(going, court.measure([finalists[i] for i in going], label), strict=True):
            heard[i].append(card)
        cards = [repeated(of) for of in heard]
        confirmed = [court.again(f, card) for f, card in zip(finalists, cards, strict=True)]
        ahead = contenders(confirmed)
        decision = decide(confirmed, ahead, confirm.preference)
        if decision.separable:
            break
        going = [i for i, finalist in enumerate(confirmed) if finalist in ahead]
    return Hearing(decision, finalists, confirmed, cards, [len(of) for of in heard])
