"""A reason as people read it."""

from __future__ import annotations

from studies.report import explanation


def sentence_of(reason: explanation.Coded | None) -> str:
    """Its English sentence; empty where there is no reason."""
    return "" if reason is None else explanation.sentence(reason)
