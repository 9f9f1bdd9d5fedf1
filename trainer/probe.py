"""The learning-rate probe: D-Adaptation finds the rate at which a plan can be trained.

The guides train with D-Adaptation at a constant learning rate of 1 and follow d * lr, its estimate of the step
size (Defazio & Mishchenko 2023), until it stays: that plateau is a U-Net learning rate for AdamW.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from trainer import optimisers
from trainer.outcome import Diverged, OutOfMemory
from trainer.pack import Pack
from trainer.plan import OptimiserPlan, SchedulePlan, TrainingPlan

PATIENCE = 100
"""Optimiser steps over which the rate must stay."""
GROWTH = 0.05
"""Relative growth over these steps that still counts as staying."""
DEPARTURE = 10.0
"""How many times its first value the rate must have reached: at first d waits where it starts."""
PROBE = -1
"""Trial number under which the probe is admitted."""


@dataclass(frozen=True, slots=True)
class Plateau:
    """Where d * lr stayed."""

    rate: float
    """Learning rate on AdamW's scale; where ``flat`` is false, the last one seen."""
    step: int
    """Optimiser steps after which the rule was met, or all of them."""
    flat: bool
    """Whether the rule was met."""


@dataclass(frozen=True, slots=True)
class Probe:
    """What a probe saw."""

    rates: tuple[float, ...]
    """d * lr after each optimiser step."""
    plateau: Plateau
    trouble: str | None
    """Why training ended early, or None."""


def plateau(
    rates: Sequence[float], patience: int = PATIENCE, growth: float = GROWTH, departure: float = DEPARTURE
) -> Plateau:
    """The first step at which the rate has left its start and has grown by at most ``growth`` lately (pure).

    Args:
        rates: d * lr after each optimiser step, at least one.
        patience: steps over which the growth is measured.
        growth: relative.
        departure: multiple of the first rate that must be reached.
    """
    for i in range(patience, len(rates)):
        if rates[i] >= departure * rates[0] and rates[i] <= (1 + growth) * rates[i - patience]:
            return Plateau(rates[i], i + 1, True)
    return Plateau(rates[-1], len(rates), False)


def conversions(rate: float) -> dict[str, float]:
    """The plateau as AdamW8bit and Lion take it: Lion a third."""
    return {name: optimisers.own_rate(name, rate) for name in ("adamw8bit", "lion")}


def probe_plan(plan: TrainingPlan, most_steps: int) -> TrainingPlan:
    """The same training under D-Adaptation at a constant rate of 1, long enough for ``most_steps``."""
    own = plan.optimiser
    table = plan.model_dump()
    table["optimiser"] = OptimiserPlan(
        name="dadaptation",
        unet_lr=1.0,
        text_lr_over_unet_lr=1.0,
        weight_decay=own.weight_decay,
        max_grad_norm=own.max_grad_norm,
        gradient_accumulation=own.gradient_accumulation,
    )
    table["schedule"] = SchedulePlan(name="constant")
    table["ema"] = {}
    table["data"]["epochs"] = most_steps
    return TrainingPlan.model_validate(table)


def follow(
    pack: Pack,
    plan: TrainingPlan,
    most_steps: int = 600,
    on_step: Callable[[int, float], None] = lambda step, rate: None,
) -> Probe:
    """Trains until the rate has stayed, at most ``most_steps`` optimiser steps.

    Args:
        pack: an idle pack on the plan's base model and data; it is idle again afterwards.
        plan: whose data, LoRA, noise and batch are probed.
        most_steps: optimiser steps.
        on_step: called with the steps taken and d * lr.
    """
    run = pack.admit(PROBE, probe_plan(plan, most_steps))
    rates: list[float] = []
    trouble = None
    while trouble is None and len(rates) < most_steps:
        trouble = next((reason for event in pack.step() if (reason := _trouble(event))), None)
        if run.progress.steps > len(rates):
            group = run.optimiser.param_groups[0]
            rates.append(float(group["d"]) * group["lr"])
            on_step(len(rates), rates[-1])
            if len(rates) > PATIENCE and plateau(rates).flat:
                break
    if PROBE in pack.runs:
        pack.evict(PROBE)
    return Probe(tuple(rates), plateau(rates), trouble)


def _trouble(event: object) -> str | None:
    match event:
        case Diverged(reason=reason):
            return reason
        case OutOfMemory():
            return "memory ran out"
        case _:
            return None
