"""How long a study will still take, from what it did so far (pure)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


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
