"""Every scored checkpoint as one table (pure)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from evaluation.intervals import Estimate
from evaluation.metrics.table import METRICS
from search.trial import Value
from studies.report.explanation import sentence
from studies.study.trial import Checkpoint, Trial
from trainer.files import write_whole

Cell = Value | None
Row = dict[str, Cell]
"""A checkpoint's columns; None where nothing was measured."""


def ranked(trials: Sequence[Trial]) -> list[tuple[Trial, Checkpoint]]:
    """Every checkpoint with its trial, the highest objective first; those without one last."""
    everyone = [(trial, checkpoint) for trial in trials for checkpoint in trial.checkpoints]
    return sorted(everyone, key=lambda pair: _rank(pair[1].objective))


def csv(trials: Sequence[Trial], parameters: Sequence[str]) -> bytes:
    """The table with the trials' values beside it, as UTF-8 CSV.

    Args:
        trials: all of them.
        parameters: names of the searched parameters, one column each.
    """
    import pandas

    rows = [to_row(trial, checkpoint) | dict(trial.values) for trial, checkpoint in ranked(trials)]
    own = [name for name in rows[0] if name not in parameters] if rows else []
    frame = pandas.DataFrame(rows, columns=[*own, *parameters] if rows else [])
    text: str = frame.to_csv(index=False)
    return text.encode()


def write(path: Path, trials: Sequence[Trial], parameters: Sequence[str]) -> None:
    """Writes the table as CSV, whole or not at all; arguments as for ``csv``."""
    write_whole(path, csv(trials, parameters))


def to_row(trial: Trial, checkpoint: Checkpoint) -> Row:
    """A checkpoint's columns."""
    scores = checkpoint.scores
    differences = {name: scores.difference(name) for name in METRICS} | {"training": scores.training}
    pictured = {name: scores.metrics.get(name) for name, metric in METRICS.items() if metric.measure}
    row: Row = {
        "trial": trial.number,
        "state": trial.state,
        "epoch": checkpoint.epoch,
        "images_seen": checkpoint.origin.images_seen if checkpoint.origin else checkpoint.images_seen,
        "steps": checkpoint.steps,
    }
    for name, estimate in differences.items():
        row |= _with_error(name, estimate)
    row |= _with_error("training_gap", scores.training_gap)
    row |= {f"{name}_value": found.value if found else None for name, found in pictured.items()}
    row |= {f"{name}_base": found.base if found else None for name, found in pictured.items()}
    return row | {
        "broken_renders": scores.broken,
        "objective": checkpoint.objective,
        "objective_error": checkpoint.objective_error,
        "barred": sentence(checkpoint.barred) if checkpoint.barred else None,
        "training_loss": checkpoint.training_loss,
        "file": checkpoint.file,
    }


def _with_error(name: str, estimate: Estimate | None) -> Row:
    known = estimate is not None and math.isfinite(estimate.standard_error)
    return {
        name: estimate.mean if estimate else None,
        f"{name}_error": estimate.standard_error if estimate and known else None,
    }


def _rank(objective: float | None) -> tuple[bool, float]:
    return objective is None, -(objective or 0.0)
