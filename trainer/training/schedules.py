"""Learning-rate schedules: diffusers' own, and one in stages of epochs."""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from trainer.plans.schedule import SchedulePlan


def build(plan: SchedulePlan, optimiser: Optimizer, total_steps: int, epochs: int = 1) -> Any:
    """A ``LambdaLR`` that is stepped once per optimiser step.

    Args:
        plan: which schedule.
        optimiser: whose groups' rates it scales.
        total_steps: optimiser steps of the whole trial.
        epochs: over which these steps are spread evenly.
    """
    if plan.name == "staged":
        return LambdaLR(optimiser, lambda step: staged(plan, step, total_steps, epochs))

    from diffusers.optimization import get_scheduler

    return get_scheduler(
        plan.name,
        optimiser,
        num_warmup_steps=warmup_steps(plan, total_steps),
        num_training_steps=total_steps,
        num_cycles=plan.cycles,
        power=plan.power,
    )


def staged(plan: SchedulePlan, step: int, total_steps: int, epochs: int) -> float:
    """The factor of the stage that ``step`` falls into, times the share of the warm-up that is over."""
    ends = list(accumulate(stage.epochs for stage in plan.stages))
    epoch = step * epochs // total_steps
    factor = plan.stages[min(bisect_right(ends, epoch), len(ends) - 1)].factor
    warmup = warmup_steps(plan, total_steps)
    return factor * min(1.0, step / warmup) if warmup else factor


def warmup_steps(plan: SchedulePlan, total_steps: int) -> int:
    """Optimiser steps over which the rate rises."""
    return round(plan.warmup_share * total_steps) if plan.warmup_steps is None else plan.warmup_steps
