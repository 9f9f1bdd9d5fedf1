"""What a search may cost, and what it has cost."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from pydantic import BaseModel, ConfigDict, model_validator

from search.trial import Reason

if TYPE_CHECKING:
    from search.memory import Memory


class Budget(BaseModel):
    """What a search may spend on new trials; at least one limit, the first that is reached counts.

    Trials that were begun are trained on, so images and minutes can be exceeded by what is in flight.

    Attributes:
        trials: trials begun, enqueued recipes included.
        images: training images seen, summed over all trials and their folds.
        minutes: running time of the search, interruptions left out.
        gpu_seconds: working time of all devices together, training and judging.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    trials: int | None = None
    images: int | None = None
    minutes: float | None = None
    gpu_seconds: float | None = None

    @model_validator(mode="after")
    def _check(self) -> Budget:
        limits = self.model_dump()
        if all(limit is None for limit in limits.values()):
            raise ValueError(f"budget needs at least one of: {', '.join(limits)}.")
        problems = [
            f"budget.{name} must be above 0, but got {limit}."
            for name, limit in limits.items()
            if limit is not None and limit <= 0
        ]
        if problems:
            raise ValueError("\n".join(problems))
        return self

    def whole_trials(self, images_per_trial: int) -> int | None:
        """Trials that it pays for if each takes ``images_per_trial`` images; None if only time is limited."""
        limits = [self.trials, self.images and math.ceil(self.images / images_per_trial)]
        return min((limit for limit in limits if limit is not None), default=None)


@dataclass(frozen=True)
class Spending:
    """What a search has used so far.

    Attributes:
        trials: trials begun.
        images: images seen, summed over all trials and their folds.
        seconds: running time.
        gpu_seconds: working time of all devices together.
    """

    trials: int
    images: int
    seconds: float
    gpu_seconds: float = 0.0


def spent(budget: Budget, used: Spending) -> Reason | None:
    """Which limit has been reached; None while there is budget left."""
    if budget.trials is not None and used.trials >= budget.trials:
        return Reason("trials_spent", {"limit": budget.trials})
    if budget.images is not None and used.images >= budget.images:
        return Reason("images_spent", {"limit": budget.images, "used": used.images})
    if budget.minutes is not None and used.seconds >= 60 * budget.minutes:
        return Reason("minutes_spent", {"limit": budget.minutes, "used": used.seconds / 60})
    if budget.gpu_seconds is not None and used.gpu_seconds >= budget.gpu_seconds:
        return Reason("gpu_seconds_spent", {"limit": budget.gpu_seconds, "used": used.gpu_seconds})
    return None


_SPENT = "spent/"


_SECONDS, _DEVICE_SECONDS = "seconds_spent", "device_seconds_spent"


class Spent(NamedTuple):
    """Seconds of a search."""

    seconds: float
    """Running time of all its processes."""
    device_seconds: float
    """Working time of all devices."""


def time_spent(memory: Memory, runner: str | None = None, but: str | None = None) -> Spent:
    """What one runner has spent, or all together.

    Args:
        memory: the study.
        runner: whose account; None sums them, with what studies kept that were begun before there were several.
        but: whose account to leave out of the sum.
    """
    kept = memory.recall_all("")
    accounts = {key.removeprefix(_SPENT): kept[key] for key in kept if key.startswith(_SPENT)}
    if runner is not None:
        return Spent(*accounts.get(runner, (0.0, 0.0)))
    found = [of for name, of in accounts.items() if name != but]
    found.append((float(kept.get(_SECONDS) or 0.0), float(kept.get(_DEVICE_SECONDS) or 0.0)))
    return Spent(sum(seconds for seconds, _ in found), sum(device for _, device in found))


def remember_time(memory: Memory, runner: str, account: Spent) -> None:
    """Writes a runner's account."""
    memory.remember(_SPENT + runner, list(account))
