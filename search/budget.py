"""When a search has tried enough."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, model_validator


class Budget(BaseModel):
    """What a search may spend on new trials; at least one limit, the first that is reached counts.

    Trials that were begun are trained on, so images and minutes can be exceeded by what is in flight.

    Attributes:
        trials: trials begun, enqueued recipes included.
        images: training images seen, summed over all trials.
        minutes: running time of the search, interruptions left out.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    trials: int | None = None
    images: int | None = None
    minutes: float | None = None

    @model_validator(mode="after")
    def _check(self) -> Budget:
        limits = {"trials": self.trials, "images": self.images, "minutes": self.minutes}
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


def spent(budget: Budget, trials_asked: int, images_trained: int, seconds: float) -> str | None:
    """Which limit has been reached, as a sentence; None while there is budget left.

    Args:
        budget: the limits.
        trials_asked: trials begun so far.
        images_trained: images seen so far, summed over all trials.
        seconds: running time so far.
    """
    if budget.trials is not None and trials_asked >= budget.trials:
        return f"The budget of {budget.trials} trials is spent."
    if budget.images is not None and images_trained >= budget.images:
        return f"The budget of {budget.images} training images is spent ({images_trained} seen)."
    if budget.minutes is not None and seconds >= 60 * budget.minutes:
        return f"The budget of {budget.minutes:g} minutes is spent ({seconds / 60:.1f} used)."
    return None
