"""A slot's optimiser and its groups of parameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from torch import nn

from trainer.adapters.shape import Shape
from trainer.plans.optimiser import OptimiserPlan
from trainer.plans.optimiser_kinds import OPTIMISERS, made, own_rate

if TYPE_CHECKING:
    from torch.optim import Optimizer

Groups = list[dict[str, Any]]
"""Parameter groups; each has "params" and "lr" on AdamW's scale."""


def split(groups: Groups, leaves: Mapping[str, nn.Parameter], shape: Shape) -> Groups:
    """Parameter groups in which every block has its own learning rate.

    Args:
        groups: each with "params" and "lr"; untouched where the shape names no rates.
        leaves: the slot's leaf tensors, ``<layer>.<factor>``.
        shape: of the slot.
    """
    if not shape.block_rates:
        return groups
    factors = {id(leaf): shape.rate_of(name.rpartition(".")[0]) for name, leaf in leaves.items()}
    return [part for group in groups for part in _parts(group, factors)]


def _parts(group: dict[str, Any], factors: Mapping[int, float]) -> Groups:
    found: dict[float, list[nn.Parameter]] = {}
    for leaf in group["params"]:
        found.setdefault(factors[id(leaf)], []).append(leaf)
    return [{**group, "params": leaves, "lr": group["lr"] * factor} for factor, leaves in found.items()]


def build(plan: OptimiserPlan, groups: Groups) -> Optimizer:
    """The optimiser of one slot; empty groups are left out."""
    converted = [{**group, "lr": own_rate(plan.name, group["lr"])} for group in groups if group["params"]]
    optimiser: Optimizer = made(plan.name, converted, **plan.arguments, lr=converted[0]["lr"])
    return optimiser


def description(plan: OptimiserPlan) -> str:
    """The optimiser as sd-scripts writes it: ``module.Class(argument=value,...)``."""
    kind = OPTIMISERS[plan.name]
    return f"{kind.module}.{kind.name}({','.join(f'{key}={value}' for key, value in plan.arguments.items())})"
