"""Optimisers by name, each with its own conversion of a learning rate on AdamW's scale."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch.optim import AdamW, Optimizer

from trainer.plan import OptimiserPlan

Groups = list[dict[str, Any]]
"""Parameter groups; each has "params" and "lr" on AdamW's scale."""

LION_SHARE = 1 / 3
"""Lion wants a learning rate 3-10 times smaller than AdamW's (Chen et al. 2023, section 5)."""


def build(plan: OptimiserPlan, groups: Groups) -> Optimizer:
    """The optimiser of one slot; empty groups are left out."""
    return OPTIMISERS[plan.name](plan, [group for group in groups if group["params"]])


def own_rate(name: str, rate: float) -> float:
    """A learning rate on AdamW's scale as the optimiser ``name`` takes it."""
    return _RATES[name](rate) if name in _RATES else rate


def _converted(plan: OptimiserPlan, groups: Groups) -> Groups:
    return [{**group, "lr": own_rate(plan.name, group["lr"])} for group in groups]


def _adamw(plan: OptimiserPlan, groups: Groups) -> Optimizer:
    return AdamW(_converted(plan, groups), weight_decay=plan.weight_decay, fused=True)


def _adamw8bit(plan: OptimiserPlan, groups: Groups) -> Optimizer:
    from bitsandbytes.optim.adamw import AdamW8bit

    optimiser: Optimizer = AdamW8bit(_converted(plan, groups), weight_decay=plan.weight_decay)
    return optimiser


def _lion(plan: OptimiserPlan, groups: Groups) -> Optimizer:
    from lion_pytorch import Lion

    optimiser: Optimizer = Lion(_converted(plan, groups), weight_decay=plan.weight_decay)
    return optimiser


def _prodigy(plan: OptimiserPlan, groups: Groups) -> Optimizer:
    from prodigyopt import Prodigy

    optimiser: Optimizer = Prodigy(
        _converted(plan, groups),
        lr=1.0,
        weight_decay=plan.weight_decay,
        decouple=True,
        use_bias_correction=True,
        safeguard_warmup=True,
    )
    return optimiser


_RATES: dict[str, Callable[[float], float]] = {
    "lion": lambda rate: rate * LION_SHARE,
    "prodigy": lambda rate: 1.0,
}

OPTIMISERS: dict[str, Callable[[OptimiserPlan, Groups], Optimizer]] = {
    "adamw": _adamw,
    "adamw8bit": _adamw8bit,
    "lion": _lion,
    "prodigy": _prodigy,
}
