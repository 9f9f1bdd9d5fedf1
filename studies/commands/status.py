"""How far a study is, and how long it will go on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from evaluation.intervals import Estimate
from search.budget import time_spent
from search.trial import State, Value
from studies.report import foresight
from studies.report.explanation import sentence
from studies.selection import document
from studies.selection.rule import Rule
from studies.study.open import ReadOnlyStudy
from studies.study.trial import Trial, read_trials
from studies.workspace import Document

FORMAT: Literal[1] = 1
"""Of the document."""
_ENDED: frozenset[State] = frozenset({"finished", "pruned", "infeasible"})


class Limit(Document):
    """One limit of the budget, in its own unit."""

    limit: float
    spent: float
    left: float


class TrialStatus(Document):
    """A trial at its best checkpoint so far."""

    number: int
    state: State
    params: dict[str, Value]
    epochs: int
    images_seen: int
    best_epoch: int | None
    objective: float | None
    validation: Estimate | None
    reason: str | None
    """Why it ended, in English."""


class Status(Document):
    """How far a study is."""

    format: Literal[1] = FORMAT
    study: str
    workspace: str
    states: dict[State, int]
    checkpoints: int
    budget: dict[str, Limit]
    seconds_spent: float
    seconds_left: float | None
    """Until the first limit is reached; None before anything can be told."""
    forecast: str
    """What is forecast of the search, in English; empty where nothing is."""
    ended: bool
    """Whether the verdict stands on all trials."""
    best: TrialStatus | None
    verdict: bool
    trials: tuple[TrialStatus, ...]

    def to_json(self) -> dict[str, Any]:
        """JSON values."""
        return self.model_dump(mode="json")


def status(study: ReadOnlyStudy) -> Status:
    """How far a study is."""
    everyone = read_trials(study.memory)
    trials = tuple(trial_status(trial) for trial in everyone)
    scored = [one for one in trials if one.objective is not None]
    selection = document.read(study.workspace)
    budget = _budget(study, everyone)
    ended = selection is not None and selection.stands(Rule.of(study.spec), len(everyone))
    return Status(
        study=study.spec.study.name,
        workspace=str(study.workspace.root),
        states=dict(Counter(one.state for one in trials)),
        checkpoints=sum(len(one.checkpoints) for one in everyone),
        budget=budget,
        seconds_spent=time_spent(study.memory).seconds,
        seconds_left=0.0 if ended else _left(study, trials, budget),
        forecast=foresight.outlook(study.memory),
        ended=ended,
        best=max(scored, key=lambda one: one.objective or 0.0, default=None),
        verdict=selection is not None,
        trials=trials,
    )


def trial_status(trial: Trial) -> TrialStatus:
    """A trial at its best checkpoint so far."""
    best = trial.best
    return TrialStatus(
        number=trial.number,
        state=trial.state,
        params=dict(trial.values),
        epochs=trial.epochs,
        images_seen=trial.images_seen,
        best_epoch=best.epoch if best else None,
        objective=trial.objective,
        validation=best.scores.validation if best else None,
        reason=sentence(trial.reason) if trial.reason else None,
    )


def _left(study: ReadOnlyStudy, trials: Sequence[TrialStatus], budget: Mapping[str, Limit]) -> float | None:
    seconds, device = time_spent(study.memory)
    return seconds_left(trials, budget, seconds, device, study.spec.budget.images_per_trial)


def _budget(study: ReadOnlyStudy, trials: Sequence[Trial]) -> dict[str, Limit]:
    """Of each limit how much is spent and how much is left."""
    budget, time = study.spec.budget, time_spent(study.memory)
    limits = {
        "trials": (budget.trials, sum(trial.state != "waiting" for trial in trials)),
        "images": (budget.images, sum(trial.images_trained for trial in trials)),
        "minutes": (budget.minutes, time.seconds / 60),
        "gpu_seconds": (budget.gpu_seconds, time.device_seconds),
    }
    return {
        name: Limit(limit=limit, spent=spent, left=max(0, limit - spent))
        for name, (limit, spent) in limits.items()
        if limit is not None
    }


def seconds_left(
    trials: Sequence[TrialStatus],
    budget: Mapping[str, Limit],
    seconds: float,
    device_seconds: float,
    images_per_trial: int,
) -> float | None:
    """Running time until the first limit is reached; None before anything can be told.

    Trials to come are taken to be as long as those that have ended, pruned ones among them, and all to go on at
    the mean speed so far.

    Args:
        trials: all of them.
        budget: what is left of each limit.
        seconds: running time so far.
        device_seconds: working time of all devices so far.
        images_per_trial: the horizon, for when no trial has ended yet.
    """
    images = sum(trial.images_seen for trial in trials)
    if seconds <= 0 or not images:
        return None
    found = []
    if of := budget.get("trials"):
        found.append(_images_to_come(trials, of.left, images_per_trial) * seconds / images)
    if (of := budget.get("images")) and of.spent > 0:
        found.append(of.left * seconds / of.spent)
    if of := budget.get("minutes"):
        found.append(of.left * 60)
    if (of := budget.get("gpu_seconds")) and device_seconds > 0:
        found.append(of.left * seconds / device_seconds)
    return min(found, default=None)


def _images_to_come(trials: Sequence[TrialStatus], left: float, images_per_trial: int) -> float:
    ended = [trial.images_seen for trial in trials if trial.state in _ENDED]
    usual = sum(ended) / len(ended) if ended else images_per_trial
    running = [max(0.0, usual - trial.images_seen) for trial in trials if trial.state == "running"]
    return left * usual + sum(running)
