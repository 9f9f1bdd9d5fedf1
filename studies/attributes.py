"""What the dashboard's tables say of a trial in a few words (pure)."""

from __future__ import annotations

from dataclasses import replace

from search.trial import End, Infeasible, TrialRecord
from studies import words
from studies.diagnosis import diagnose


def short(record: TrialRecord, end: End) -> dict[str, str | int]:
    """Attributes of a trial that is about to end; only what is known.

    Args:
        record: with all its cards, still running.
        end: how it ends.
    """
    scored = [card for card in record.cards if card["objective"] is not None]
    found: dict[str, str | int] = {}
    if scored:
        best = max(scored, key=lambda card: float(card["objective"]))
        found["best_epoch"] = int(best["epoch"])
        found["best_validation"] = words.estimate(best["scores"]["validation"], 4)
    if isinstance(end, Infeasible):
        record = replace(record, state="infeasible", reason=end.reason)
    diagnosis = diagnose(record)
    if diagnosis is not None:
        found["diagnosis"] = diagnosis.sentence
    return found
