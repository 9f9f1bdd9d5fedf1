"""Optimisers by name: where they live, and what rules, importers and factories must know of them."""

from __future__ import annotations

import inspect
import io
from collections.abc import Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

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
    leafwise: bool = False
    """Whether its update depends on which numbers make up a tensor."""


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
        "transformers.optimization",
        "Adafactor",
        {"relative_step": False, "scale_parameter": False},
        leafwise=True,
    ),
    "prodigy": Kind("prodigyopt.prodigy", "Prodigy", _PRODIGY, adaptive=True),
}


def own_rate(name: str, rate: float) -> float:
    """A learning rate on AdamW's scale as the optimiser ``name`` takes it."""
    kind = OPTIMISERS[name]
    return 1.0 if kind.adaptive else rate * kind.share


def keywords(name: str) -> list[str]:
    """The keyword arguments that ``optimiser.args`` may give to the optimiser ``name``."""
    known = inspect.signature(_class(name)).parameters
    return sorted(known.keys() - {"self", "params", *OWN_FIELDS})


def made(name: str, groups: list[dict[str, Any]], **arguments: Any) -> Any:
    """The optimiser itself; what it prints is left unsaid.

    Args:
        name: of the table.
        groups: each with "params" and, unless the arguments say it, "lr" as the optimiser takes it.
        arguments: of its class.

    Raises:
        ValueError, TypeError, RuntimeError, AssertionError, LookupError: it refuses them.
    """
    with redirect_stdout(io.StringIO()):
        return _class(name)(groups, **arguments)


def _class(name: str) -> Any:
    kind = OPTIMISERS[name]
    return getattr(import_module(kind.module), kind.name)
