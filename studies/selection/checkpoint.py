"""Score cards as they are stored: facts and scores of one checkpoint in JSON, and back (pure)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from evaluation.scorecard import ScoreCard
from search.objective import Estimate, combine, weighted
from search.selection import Candidate
from search.trial import Reason, TrialRecord
from studies.report.explanation import sentence
from studies.spec.guards import GuardsSection

Card = Mapping[str, Any]

BARRED = "barred"
"""Code of the reason with which a trial is told infeasible whose every checkpoint a guard bars."""


def facts(card: Card) -> ScoreCard:
    """The judge's card inside a stored one."""
    return ScoreCard.model_validate(card["scores"])


def differences(scores: ScoreCard, spreads: Mapping[str, float]) -> dict[str, Estimate]:
    """The metrics that were measured, in the search's terms.

    Where an error is unknown, as that of a single render, the spread of the base model's figure stands for it.
    """
    return {
        name: Estimate(
            e.mean, e.standard_error if math.isfinite(e.standard_error) else spreads.get(name, math.inf)
        )
        for name, e in scores.differences().items()
    }


def objective(scores: ScoreCard, spreads: Mapping[str, float], weights: Mapping[str, float]) -> Estimate:
    """The figure by which checkpoints are compared; higher is better, 0 is the base model."""
    return combine(differences(scores, spreads), spreads, weights)


def candidates(
    records: Sequence[TrialRecord],
    spreads: Mapping[str, float],
    weights: Mapping[str, float],
    guards: GuardsSection,
) -> list[Candidate]:
    """Every usable checkpoint of every trial."""
    return [
        candidate(record.number, card, facts(card), spreads, weights, guards)
        for record in records
        for card in record.cards
        if facts(card).unusable is None
    ]


def candidate(
    trial: int,
    card: Card,
    scores: ScoreCard,
    spreads: Mapping[str, float],
    weights: Mapping[str, float],
    guards: GuardsSection,
) -> Candidate:
    """A stored checkpoint with ``scores``, which may be fresher than the stored ones."""
    barred = guards.barred(scores)
    return Candidate(
        trial=trial,
        epoch=int(card["epoch"]),
        images_seen=int(card["images_seen"]),
        rank=int(card["rank"]),
        objective=objective(scores, spreads, weights),
        scores=differences(scores, spreads),
        cells=weighted(scores.cells(), spreads, weights),
        barred=None if barred is None else sentence(barred),
    )


def plain(choice: Candidate) -> dict[str, float]:
    """A candidate's objective as JSON values."""
    return {"mean": choice.objective.mean, "standard_error": choice.objective.standard_error}


def all_barred(record: TrialRecord, guards: GuardsSection) -> Reason | None:
    """Why no checkpoint of a trial may win: ``by`` which rule, with the figures of its last one; None if one may."""
    reasons = [guards.barred(facts(card)) for card in record.cards]
    last = reasons[-1] if reasons and all(reasons) else None
    return None if last is None else Reason(BARRED, {"by": last.code, **last.values})
