"""Learning-rate schedules, by diffusers."""

from __future__ import annotations

from typing import Any

from torch.optim import Optimizer

from trainer.plan import SchedulePlan


def build(plan: SchedulePlan, optimiser: Optimizer, total_steps: int) -> Any:
    """A ``LambdaLR`` that is stepped once per optimiser step.

    Args:
        plan: which schedule.
        optimiser: whose groups' rates it scales.
        total_steps: optimiser steps of the whole trial.
    """
    from diffusers.optimization import get_scheduler

    return get_scheduler(
        plan.name,
        optimiser,
        num_warmup_steps=warmup_steps(plan, total_steps),
        num_training_steps=total_steps,
        num_cycles=plan.cycles,
        power=plan.power,
    )


def warmup_steps(plan: SchedulePlan, total_steps: int) -> int:
    """Optimiser steps over which the rate rises."""
    return round(plan.warmup_share * total_steps)
