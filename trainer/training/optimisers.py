"""Optimisers by name, their groups of parameters, and AdamW's learning rate in their terms."""

from __future__ import annotations

import inspect
import io
from collections.abc import Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any

from torch import nn

from trainer.adapters.shape import Shape

if TYPE_CHECKING:
    from torch.optim import Optimizer

    from trainer.plans.optimiser import OptimiserPlan


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


Groups = list[dict[str, Any]]
"""Parameter groups; each has "params" and "lr" on AdamW's scale."""


LION_SHARE = 1 / 3
"""Lion wants a learning rate 3-10 times smaller than AdamW's (Chen et al. 2023, section 5)."""


OWN_FIELDS = {"lr": "unet_lr", "weight_decay": "weight_decay"}
"""Arguments that plans name otherwise."""


@dataclass(frozen=True, slots=True)
class Kind:
    """Where an optimiser lives and how it is made."""

    module: str
    name: str
    """Of the class."""
    preset: Mapping[str, Any] = field(default_factory=dict)
    """Keyword arguments, unless the plan's ``args`` say otherwise."""
    share: float = 1.0
    """Learning rate as a multiple of AdamW's."""
    adaptive: bool = False
    """Whether it finds its own learning rate: it is then given 1."""
    one_rate: bool = False
    """Whether to ask for a second learning rate is an error: D-Adaptation."""
    eight_bit: bool = False


def _bitsandbytes(family: str, name: str, **facts: Any) -> Kind:
    return Kind(f"bitsandbytes.optim.{family}", name, eight_bit=True, **facts)


def _dadaptation(module: str, name: str, **preset: Any) -> Kind:
    return Kind(module, name, preset, adaptive=True, one_rate=True)


_NESTEROV = {"momentum": 0.9, "nesterov": True}


_PRODIGY = {"decouple": True, "use_bias_correction": True, "safeguard_warmup": True}


OPTIMISERS: dict[str, Kind] = {
    "adamw": Kind("torch.optim.adamw", "AdamW", {"fused": True}),
    "adamw8bit": _bitsandbytes("adamw", "AdamW8bit"),
    "paged_adamw8bit": _bitsandbytes("adamw", "PagedAdamW8bit"),
    "lion": Kind("lion_pytorch.lion_pytorch", "Lion", share=LION_SHARE),
    "lion8bit": _bitsandbytes("lion", "Lion8bit", share=LION_SHARE),
    "paged_lion8bit": _bitsandbytes("lion", "PagedLion8bit", share=LION_SHARE),
    "sgd_nesterov": Kind("torch.optim.sgd", "SGD", _NESTEROV),
    "sgd_nesterov8bit": _bitsandbytes("sgd", "SGD8bit", preset=_NESTEROV),
    "dadaptation": _dadaptation(
        "dadaptation.experimental.dadapt_adam_preprint", "DAdaptAdamPreprint", decouple=True
    ),
    "dadapt_adam": _dadaptation("dadaptation.dadapt_adam", "DAdaptAdam", decouple=True),
    "dadapt_adagrad": _dadaptation("dadaptation.dadapt_adagrad", "DAdaptAdaGrad"),
    "dadapt_adan": _dadaptation("dadaptation.dadapt_adan", "DAdaptAdan"),
    "dadapt_adan_ip": _dadaptation("dadaptation.experimental.dadapt_adan_ip", "DAdaptAdanIP"),
    "dadapt_lion": _dadaptation("dadaptation.dadapt_lion", "DAdaptLion"),
    "dadapt_sgd": _dadaptation("trainer.training.dadapt_sgd", "DAdaptSGD"),
    "adafactor": Kind(
        "transformers.optimization", "Adafactor", {"relative_step": False, "scale_parameter": False}
    ),
    "prodigy": Kind("prodigyopt.prodigy", "Prodigy", _PRODIGY, adaptive=True),
}


def build(plan: OptimiserPlan, groups: Groups) -> Optimizer:
    """The optimiser of one slot; empty groups are left out."""
    kind = OPTIMISERS[plan.name]
    converted = [{**group, "lr": own_rate(plan.name, group["lr"])} for group in groups if group["params"]]
    arguments = {**kind.preset, **plan.args, "weight_decay": plan.weight_decay, "lr": converted[0]["lr"]}
    with redirect_stdout(io.StringIO()):
        optimiser: Optimizer = _class(kind)(converted, **arguments)
    return optimiser


def own_rate(name: str, rate: float) -> float:
    """A learning rate on AdamW's scale as the optimiser ``name`` takes it."""
    kind = OPTIMISERS[name]
    return 1.0 if kind.adaptive else rate * kind.share


def description(plan: OptimiserPlan) -> str:
    """The optimiser as sd-scripts writes it: ``module.Class(argument=value,...)``."""
    kind = OPTIMISERS[plan.name]
    arguments = {**kind.preset, **plan.args, "weight_decay": plan.weight_decay}
    return f"{kind.module}.{kind.name}({','.join(f'{key}={value}' for key, value in arguments.items())})"


def problems(plan: OptimiserPlan) -> list[str]:
    """What the optimiser cannot do as the plan asks it; empty if all is well."""
    kind, found = OPTIMISERS[plan.name], []
    if kind.adaptive and plan.lora_plus_ratio != 1:
        found.append(
            f"lora_plus_ratio = {plan.lora_plus_ratio} needs two learning rates, but '{plan.name}' has one; "
            "set it to 1 or choose an optimiser that does not adapt its learning rate"
        )
    return found + (_argument_problems(plan) if plan.args else [])


def keywords(name: str) -> list[str]:
    """The keyword arguments that ``optimiser.args`` may give to the optimiser ``name``."""
    known = inspect.signature(_class(OPTIMISERS[name])).parameters
    return sorted(known.keys() - {"self", "params", *OWN_FIELDS})


def _argument_problems(plan: OptimiserPlan) -> list[str]:
    known = keywords(plan.name)
    found = []
    for key in plan.args:
        if key in OWN_FIELDS:
            found.append(f"args.{key} is set by optimiser.{OWN_FIELDS[key]}")
        elif key not in known:
            found.append(
                f"args.{key}: '{plan.name}' takes no such argument; choose among: {', '.join(known)}"
            )
    return found or _refusal(plan)


def _refusal(plan: OptimiserPlan) -> list[str]:
    """What the optimiser itself says to the values."""
    import torch

    leaf = torch.nn.Parameter(torch.zeros(1, 1))
    try:
        build(plan, [{"params": [leaf], "lr": plan.unet_lr}])
    except (ValueError, TypeError, RuntimeError, AssertionError) as error:
        values = ", ".join(f"{key} = {value}" for key, value in plan.args.items())
        return [f"args: '{plan.name}' refuses {values}: {error}"]
    return []


def _class(kind: Kind) -> Any:
    return getattr(import_module(kind.module), kind.name)
