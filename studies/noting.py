"""Writes what a trial came to into its note in optuna-dashboard."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from search.memory import Memory
from search.trial import TrialRecord
from studies.notes import trial_note


def note_trial(
    memory: Memory, record: TrialRecord, verdict: Mapping[str, Any] | None, prompts: Sequence[str]
) -> None:
    """Diagnosis, scores and contact sheet; nothing for a trial that has neither a checkpoint nor a reason.

    Args:
        memory: of the study.
        record: the trial.
        verdict: the content of selection.json; None before there is one.
        prompts: what each picture of the sheet shows.
    """
    if record.cards or record.reason:
        has_sheet = memory.board.artifact_count(record.number) > 0
        memory.board.note(trial_note(record, verdict, prompts, has_sheet), record.number)
