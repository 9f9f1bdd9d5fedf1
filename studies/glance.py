"""What can be read of a study without its images and without torch."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from search.memory import Memory
from search.selection import NothingToSelect
from search.spending import time_spent
from search.storage import StorageError
from search.trial import TrialRecord
from studies import databases
from studies import spec as study_file
from studies.outlook import seconds_left
from studies.probing import as_remembered
from studies.problems import StudyError
from studies.spec import StudySpec
from studies.workspace import Workspace

PROMPTS = "prompts"
"""Under which the memory holds the prompts of a strip of renders."""


@dataclass(frozen=True, slots=True)
class Glance:
    """A study file, a workspace and a memory."""

    spec: StudySpec
    workspace: Workspace
    memory: Memory


@contextmanager
def told() -> Iterator[None]:
    """Turns the troubles of reading a study into a ``StudyError``."""
    try:
        yield
    except NothingToSelect:
        raise StudyError(
            "No checkpoint has been scored yet, so there is nothing to choose; `lorasearch run` goes on."
        ) from None
    except StorageError as error:
        raise StudyError(str(error)) from error
    except OSError as error:
        raise StudyError(f"{error.filename}: {error.strerror}.") from error


def glance(root: Path) -> Glance:
    """Opens the study of a workspace for reading.

    Raises:
        StudyError: there is none, or its files cannot be read.
    """
    workspace = Workspace(root)
    if not workspace.database.exists() and not (
        workspace.source.exists() and databases.remembered(workspace)
    ):
        raise StudyError(f"{root}: there is no study here; `lorasearch run STUDY.toml` makes one.")
    with told():
        text = workspace.study_file.read_text(encoding="utf-8")
        spec = study_file.parse(text, workspace.original.parent, str(workspace.study_file))
        memory = Memory.open(databases.url_of(workspace), spec.study.name, workspace.artifacts, create=False)
        spec = as_remembered(spec, memory)
    return Glance(spec, workspace, memory)


def standing(workspace: Workspace) -> dict[str, Any] | None:
    """The content of selection.json; None before the study's first verdict.

    Raises:
        StudyError: the file is broken.
    """
    try:
        found: dict[str, Any] = json.loads(workspace.selection.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise StudyError(
            f"{workspace.selection}: the verdict cannot be read ({error}); `lorasearch run` writes it again."
        ) from error
    return found


def stands(verdict: Mapping[str, Any] | None, spec: StudySpec, trials: int) -> bool:
    """Whether there is a verdict on so many trials by the study file as it is now."""
    return verdict is not None and verdict["trials"] == trials and verdict.get("asked") == spec.asked


def status(study: Glance) -> dict[str, Any]:
    """How far a study is, as JSON values."""
    records = study.memory.records()
    trials = [trial(record) for record in records]
    scored = [entry for entry in trials if entry["objective"] is not None]
    best = max(scored, key=lambda entry: entry["objective"], default=None)
    verdict = standing(study.workspace)
    budget = _budget(study, records)
    ended = stands(verdict, study.spec, len(records))
    return {
        "study": study.spec.study.name,
        "workspace": str(study.workspace.root),
        "states": dict(Counter(record.state for record in records)),
        "checkpoints": sum(len(record.cards) for record in records),
        "budget": budget,
        "seconds_spent": time_spent(study.memory).seconds,
        "seconds_left": 0.0 if ended else _left(study, trials, budget),
        "ended": ended,
        "best": best,
        "verdict": verdict is not None,
        "trials": trials,
    }


def trial(record: TrialRecord) -> dict[str, Any]:
    """A trial at its best checkpoint so far, as JSON values."""
    scored = [card for card in record.cards if card["objective"] is not None]
    best = max(scored, key=lambda card: float(card["objective"]), default=None)
    return {
        "number": record.number,
        "state": record.state,
        "params": dict(record.values),
        "epochs": max((int(card["epoch"]) for card in record.cards), default=0),
        "images_seen": record.images_seen,
        "best_epoch": best["epoch"] if best else None,
        "objective": best["objective"] if best else None,
        "validation": best["scores"]["validation"] if best else None,
        "reason": record.reason,
    }


def _left(
    study: Glance, trials: list[dict[str, Any]], budget: dict[str, Mapping[str, float]]
) -> float | None:
    seconds, device = time_spent(study.memory)
    return seconds_left(trials, budget, seconds, device, study.spec.budget.images_per_trial)


def _budget(study: Glance, records: list[TrialRecord]) -> dict[str, Mapping[str, float]]:
    """Of each limit how much is spent and how much is left."""
    budget, time = study.spec.budget, time_spent(study.memory)
    spent = {
        "trials": sum(record.state != "waiting" for record in records),
        "images": sum(record.images_trained for record in records),
        "minutes": time.seconds / 60,
        "gpu_seconds": time.device_seconds,
    }
    limits = {
        "trials": budget.trials,
        "images": budget.images,
        "minutes": budget.minutes,
        "gpu_seconds": budget.gpu_seconds,
    }
    return {
        name: {"limit": limit, "spent": spent[name], "left": max(0, limit - spent[name])}
        for name, limit in limits.items()
        if limit is not None
    }
