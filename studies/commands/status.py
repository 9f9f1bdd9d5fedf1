"""How far a study is, and how long it will go on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from search.budget import time_spent
from search.trial import TrialRecord
from studies.report.explanation import sentence
from studies.study.open import Glance, read_selection, stands


def status(study: Glance) -> dict[str, Any]:
    """How far a study is, as JSON values."""
    records = study.memory.records()
    trials = [trial(record) for record in records]
    scored = [entry for entry in trials if entry["objective"] is not None]
    best = max(scored, key=lambda entry: entry["objective"], default=None)
    verdict = read_selection(study.workspace)
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
        "reason": None if record.reason is None else sentence(record.reason),
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


def seconds_left(
    trials: Sequence[Mapping[str, Any]],
    budget: Mapping[str, Mapping[str, float]],
    seconds: float,
    device_seconds: float,
    images_per_trial: int,
) -> float | None:
    """Running time until the first limit is reached; None before anything can be told.

    Trials to come are taken to be as long as those that have ended, pruned ones among them, and all to go on at
    the mean speed so far.

    Args:
        trials: each with its state and the images it has seen.
        budget: what is left of each limit.
        seconds: running time so far.
        device_seconds: working time of all devices so far.
        images_per_trial: the horizon, for when no trial has ended yet.
    """
    images = sum(int(trial["images_seen"]) for trial in trials)
    if seconds <= 0 or not images:
        return None
    rate = images / seconds
    found = []
    if "trials" in budget:
        found.append(_images_to_come(trials, budget["trials"]["left"], images_per_trial) / rate)
    if "images" in budget and budget["images"]["spent"] > 0:
        found.append(budget["images"]["left"] * seconds / budget["images"]["spent"])
    if "minutes" in budget:
        found.append(budget["minutes"]["left"] * 60)
    if "gpu_seconds" in budget and device_seconds > 0:
        found.append(budget["gpu_seconds"]["left"] * seconds / device_seconds)
    return min(found, default=None)


def _images_to_come(trials: Sequence[Mapping[str, Any]], left: float, images_per_trial: int) -> float:
    ended = [int(t["images_seen"]) for t in trials if t["state"] in ("finished", "pruned", "infeasible")]
    usual = sum(ended) / len(ended) if ended else images_per_trial
    running = [max(0.0, usual - int(t["images_seen"])) for t in trials if t["state"] == "running"]
    return left * usual + sum(running)
