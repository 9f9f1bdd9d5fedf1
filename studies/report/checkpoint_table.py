"""Every scored checkpoint of a study as one table (pure)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from evaluation.scorecard import METRICS, ScoreCard
from search.trial import Reason, TrialRecord
from studies.report.explanation import sentence
from studies.selection.checkpoint import Card, facts

Row = dict[str, Any]
"""One checkpoint: plain columns, None where nothing was measured."""


def rows(records: Sequence[TrialRecord]) -> list[Row]:
    """One row a checkpoint, the highest objective first; checkpoints without one last."""
    found = [_row(record, card) for record in records for card in record.cards]
    return sorted(found, key=lambda row: _rank(row["objective"]))


def csv(records: Sequence[TrialRecord], parameters: Sequence[str]) -> bytes:
    """The table with the trials' values beside it, as UTF-8 CSV.

    Args:
        records: all trials.
        parameters: names of the searched parameters, one column each.
    """
    import pandas

    values = {record.number: record.values for record in records}
    table = rows(records)
    columns = [*table[0], *parameters] if table else []
    frame = pandas.DataFrame([row | values[row["trial"]] for row in table], columns=columns)
    text: str = frame.to_csv(index=False)
    return text.encode()


def gap(scores: ScoreCard) -> float | None:
    """Validation minus training log ratio: how much better the images are known that were trained on."""
    return None if scores.training is None else scores.validation.mean - scores.training.mean


def _row(record: TrialRecord, card: Card) -> Row:
    scores, barred = facts(card), Reason.of_json(card.get("barred"))
    row: Row = {
        "trial": record.number,
        "state": record.state,
        "epoch": int(card["epoch"]),
        "images_seen": card["images_seen"],
        "steps": card.get("steps"),
    }
    for name in (*METRICS, "training"):
        estimate = getattr(scores, name)
        row[name] = estimate.mean if estimate else None
        known = estimate is not None and math.isfinite(estimate.standard_error)
        row[f"{name}_error"] = estimate.standard_error if known else None
    return row | {
        "training_gap": gap(scores),
        **{f"{name}_value": getattr(scores, f"{name}_value") for name in METRICS[1:]},
        **{f"{name}_base": scores.base_values.get(name) for name in METRICS[1:]},
        "broken_renders": scores.broken,
        "objective": card.get("objective"),
        "objective_error": card.get("objective_error"),
        "barred": None if barred is None else sentence(barred),
        "training_loss": card.get("training_loss"),
        "file": card.get("file"),
    }


def _rank(objective: float | None) -> tuple[bool, float]:
    return objective is None, -(objective or 0.0)
