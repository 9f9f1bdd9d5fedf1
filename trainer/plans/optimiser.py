"""The sections [plan.optimiser] and [plan.ema]."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal, Self

from pydantic import model_validator

from trainer.plans.fields import Frozen, Switchable, field, means, same, shared
from trainer.plans.optimiser_kinds import OPTIMISERS, OWN_FIELDS, keywords, made, own_rate

OptimiserName = Literal[
    "adamw",
    "adamw8bit",
    "paged_adamw8bit",
    "lion",
    "lion8bit",
    "paged_lion8bit",
    "sgd_nesterov",
    "sgd_nesterov8bit",
    "dadaptation",
    "dadapt_adam",
    "dadapt_adagrad",
    "dadapt_adan",
    "dadapt_adan_ip",
    "dadapt_lion",
    "dadapt_sgd",
    "adafactor",
    "prodigy",
]
Argument = bool | int | float | str | tuple[float, ...] | None


class OptimiserPlan(Frozen):
    """How gradients become updates."""

    name: OptimiserName = field(
        "adamw", means("optimizer_type", "use_8bit_adam", "use_lion_optimizer", row="optimisers")
    )
    """Which optimiser, from PyTorch or from the library that carries it."""
    unet_lr: float = field(1e-4, means("unet_lr", "learning_rate", unit="AdamW's learning rate"), gt=0, le=1)
    """Learning rate of the U-Net on AdamW's scale: Lion takes a third, Prodigy and D-Adaptation find their own;
    SGD takes it as it is, and wants a far larger one."""
    text_lr_over_unet_lr: float = field(0.5, means("text_encoder_lr", unit="share of unet_lr"), gt=0, le=10)
    """Learning rate of the text encoder as a multiple of the U-Net's; Prodigy has one rate and leaves it aside."""
    text2_lr_over_unet_lr: float | None = field(
        None, means("text_encoder_lr", unit="share of unet_lr", row="SDXL's second"), gt=0, le=10
    )
    """The same for SDXL's second text encoder; None takes that of the first."""
    weight_decay: float = field(0.01, means("optimizer_args: weight_decay", row="weight decay"), ge=0, lt=1)
    """How strongly weights are pulled to 0; most optimisers multiply it by the learning rate."""
    max_grad_norm: float = field(1.0, same("max_grad_norm", unit="2-norm", row="max grad norm"), ge=0)
    """Gradients of a slot are scaled down to this 2-norm; 0 leaves them alone."""
    args: dict[str, Argument] = shared({}, means("optimizer_args", row="keyword arguments"))
    """Further keyword arguments of the optimiser (``optimizer_args``), e.g. ``{ betas = [0.9, 0.99] }``."""
    lora_plus_ratio: float = field(
        1.0, means("network_args: loraplus_lr_ratio", unit="factor", row="LoRA+ ratio"), ge=1, le=128
    )
    """Learning rate of B over that of A (LoRA+, Hayou et al. 2024, section 4); 1 is plain LoRA."""
    text_stop_share: float = field(
        1.0,
        means("stop_text_encoder_training", unit="share of all steps", row="text-encoder stop ratio"),
        gt=0,
        le=1,
    )
    """Share of all optimiser steps after which the text encoder stays as it is."""
    max_weight_norm: Annotated[float | None, Switchable] = field(
        None, same("scale_weight_norms", unit="Frobenius norm"), gt=0
    )
    """Largest Frobenius norm of any layer's delta W (``scale_weight_norms``); None (``off``) sets no limit."""
    gradient_accumulation: int = field(
        1, same("gradient_accumulation_steps", unit="batches", row="gradient accumulation"), ge=1
    )
    """Batches whose images share one optimiser step (``gradient_accumulation_steps``)."""

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if problems := [*_rate_problems(self), *(_argument_problems(self) if self.args else [])]:
            raise ValueError("; ".join(problems))
        return self

    @property
    def arguments(self) -> dict[str, Any]:
        """Keyword arguments of the optimiser's class, but the learning rate."""
        return {**OPTIMISERS[self.name].preset, **self.args, "weight_decay": self.weight_decay}

    @property
    def text2_share(self) -> float:
        """Learning rate of SDXL's second text encoder as a multiple of the U-Net's."""
        own = self.text2_lr_over_unet_lr
        return self.text_lr_over_unet_lr if own is None else own


def _rate_problems(plan: OptimiserPlan) -> Iterator[str]:
    """Which learning rates the optimiser cannot have."""
    if OPTIMISERS[plan.name].adaptive and plan.lora_plus_ratio != 1:
        yield (
            f"lora_plus_ratio = {plan.lora_plus_ratio} needs two learning rates, but '{plan.name}' has one; "
            "set it to 1 or choose an optimiser that does not adapt its learning rate"
        )


def _argument_problems(plan: OptimiserPlan) -> list[str]:
    """Which keyword arguments the optimiser does not take, or how it refuses their values."""
    known = keywords(plan.name)
    problems = []
    for key in plan.args:
        if key in OWN_FIELDS:
            problems.append(f"args.{key} is set by optimiser.{OWN_FIELDS[key]}")
        elif key not in known:
            problems.append(
                f"args.{key}: '{plan.name}' takes no such argument; choose among: {', '.join(known)}"
            )
    return problems or _refusal(plan)


def _refusal(plan: OptimiserPlan) -> list[str]:
    """What the optimiser itself says to the values."""
    import torch

    leaf = torch.nn.Parameter(torch.zeros(1, 1))
    try:
        made(plan.name, [{"params": [leaf]}], **plan.arguments, lr=own_rate(plan.name, plan.unet_lr))
    except (ValueError, TypeError, RuntimeError, AssertionError, LookupError) as error:
        values = ", ".join(f"{key} = {value}" for key, value in plan.args.items())
        return [f"args: '{plan.name}' refuses {values}: {error}"]
    return []


class EmaPlan(Frozen):
    """An exponential moving average of the LoRA's weights, which is saved and judged in their place."""

    decay: Annotated[float | None, Switchable] = field(
        None, means(unit="share a step", row="EMA of the LoRA weights"), gt=0, lt=1
    )
    """Share of the old average kept at each optimiser step, once warmed up; None (``off``) keeps no average."""
