"""The learning-rate probe: D-Adaptation finds the rate at which a plan can be trained.

The guides train with D-Adaptation at a constant learning rate of 1 and follow d * lr, its estimate of the step
size (Defazio & Mishchenko 2023), until it stays. Half of that plateau is taken as the U-Net's learning rate for AdamW.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import geometric_mean
from typing import assert_never

from trainer.outcome import Diverged, EpochEnd, Event, OutOfMemory
from trainer.plan import TrainingPlan
from trainer.plans.optimiser import OptimiserPlan
from trainer.plans.optimiser_kinds import own_rate
from trainer.plans.schedule import SchedulePlan
from trainer.seeds import derive
from trainer.training.pack import Pack
from trainer.training.run import TrainingRun
from trainer.trouble import Trouble

PATIENCE = 100
"""Optimiser steps over which the rate must stay."""
GROWTH = 0.05
"""Relative growth over these steps that still counts as staying."""
MARGIN = 4.0
"""What the plateau is divided by. On the demonstration the best rate of a 12-point grid, measured at 6 timesteps an
image or more, lay below the plateau each time: by factors of 2.0 to 3.1 on the micro base's first weights, 6.1 on its
present ones (``benchmarks/RESULTS.md``)."""
DEPARTURE = 10.0
"""How many times its first value the rate must have reached: at first d waits where it starts."""


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
class Course:
    """One repetition of a probe."""

    rates: tuple[float, ...]
    """d * lr after each optimiser step."""
    plateau: Plateau
    trouble: Trouble | None
    """Why training ended early, or None."""


@dataclass(frozen=True, slots=True)
class Probe:
    """What a probe saw in all its repetitions."""

    courses: tuple[Course, ...]

    @property
    def flat(self) -> bool:
        """Whether every repetition came to a plateau."""
        return all(course.plateau.flat for course in self.courses)

    @property
    def rate(self) -> float:
        """Learning rate on AdamW's scale: ``plateau`` divided by ``MARGIN``."""
        return self.plateau / MARGIN

    @property
    def plateau(self) -> float:
        """The geometric mean of the plateaus, or of the last rates if none is flat.

        Not a number if no repetition took a step.
        """
        flat = [course.plateau.rate for course in self.courses if course.plateau.flat]
        found = flat or [course.plateau.rate for course in self.courses if course.rates]
        return geometric_mean(found) if found else math.nan


def plateau(
    rates: Sequence[float], patience: int = PATIENCE, growth: float = GROWTH, departure: float = DEPARTURE
) -> Plateau:
    """The first step at which the rate has left its start and has grown by at most ``growth`` lately (pure).

    Args:
        rates: d * lr after each optimiser step.
        patience: steps over which the growth is measured.
        growth: relative.
        departure: multiple of the first rate that must be reached.
    """
    for i in range(patience, len(rates)):
        if rates[i] >= departure * rates[0] and rates[i] <= (1 + growth) * rates[i - patience]:
            return Plateau(rates[i], i + 1, True)
    return Plateau(rates[-1] if rates else math.nan, len(rates), False)


def conversions(rate: float) -> dict[str, float]:
    """A probe's rate as AdamW8bit and Lion take it: Lion a third."""
    return {name: own_rate(name, rate) for name in ("adamw8bit", "lion")}


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
    repetitions: int = 3,
    most_steps: int = 600,
    on_step: Callable[[int, int, float], None] = lambda repetition, step, rate: None,
) -> Probe:
    """Trains repetitions, each with its own seed, until their rates have stayed.

    One estimate may be off by a factor of two; repetitions in one pack cost little.

    Args:
        pack: an idle pack on the plan's base model and data, with room for the repetitions; idle again afterwards.
        plan: whose data, LoRA, noise and batch are probed.
        repetitions: the first has the plan's own seed.
        most_steps: optimiser steps of each.
        on_step: called with the repetition, its steps taken and its d * lr.
    """
    probed = probe_plan(plan, most_steps)
    seeds = [plan.seed, *(derive(plan.seed, "probe", i) for i in range(1, repetitions))]
    runs = [pack.admit(i, probed.model_copy(update={"seed": seed})) for i, seed in enumerate(seeds)]
    courses: list[list[float]] = [[] for _ in runs]
    troubles: dict[int, Trouble] = {}
    with pack.prompt():
        while pack.runs:
            for event in pack.step():
                if trouble := _trouble(event):
                    troubles[event.trial] = trouble
            for run, rates in zip(runs, courses, strict=True):
                if run.trial in pack.runs and run.progress.steps > len(rates):
                    rates.append(_rate(run))
                    on_step(run.trial, len(rates), rates[-1])
                    if len(rates) == most_steps or plateau(rates).flat:
                        pack.evict(run.trial)
    return Probe(tuple(Course(tuple(r), plateau(r), troubles.get(i)) for i, r in enumerate(courses)))


def _rate(run: TrainingRun) -> float:
    group = run.stepper.optimiser.param_groups[0]
    return float(group["d"]) * float(group["lr"])


def _trouble(event: Event) -> Trouble | None:
    match event:
        case EpochEnd():
            return None
        case Diverged(trouble=trouble):
            return trouble
        case OutOfMemory():
            return Trouble("memory_ran_out")
        case _:
            assert_never(event)
