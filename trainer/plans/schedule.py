"""The section [plan.schedule]."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from trainer.plans.fields import Frozen, field, means, shared

ScheduleName = Literal[
    "linear", "cosine", "cosine_with_restarts", "polynomial", "constant", "constant_with_warmup", "staged"
]


class Stage(Frozen):
    """Some epochs at one learning rate."""

    epochs: int = Field(ge=1)
    """How many epochs it lasts; the last stage lasts to the end."""
    factor: float = Field(1.0, gt=0)
    """Learning rate as a multiple of the plan's."""


class SchedulePlan(Frozen):
    """How the learning rate moves over a trial."""

    name: ScheduleName = field("constant_with_warmup", means("lr_scheduler", row="schedulers"))
    """The curve, after the warm-up, over the trial's own length."""
    warmup_share: float = field(
        0.0, means("lr_warmup_steps", unit="share of all steps", row="warm-up"), ge=0, lt=1
    )
    """Share of all optimiser steps over which the learning rate rises from 0."""
    warmup_steps: int | None = field(
        None, means("lr_warmup_steps", unit="optimiser steps", row="warm-up"), ge=0
    )
    """The same in optimiser steps (``lr_warmup_steps``); instead of ``warmup_share``."""
    cycles: int = field(
        1, means("lr_scheduler_num_cycles", "lr_restart_cycles", unit="cycles", row="cycles"), ge=1, le=100
    )
    """Hard restarts of ``cosine_with_restarts``."""
    power: float = field(1.0, means("lr_scheduler_power", unit="exponent", row="power"), gt=0)
    """Exponent of ``polynomial``."""
    stages: tuple[Stage, ...] = shared((), means(unit="epochs, factor", row="staged LR"))
    """Steps of ``staged``, e.g. ``[{ epochs = 10 }, { epochs = 10, factor = 0.1 }]``."""

    @model_validator(mode="after")
    def _agree(self) -> Self:
        problems = []
        if self.warmup_share and self.warmup_steps is not None:
            problems.append(
                f"warmup_share = {self.warmup_share} and warmup_steps = {self.warmup_steps} say the same thing "
                "twice; keep one"
            )
        for leaf, value in (("warmup_share", self.warmup_share), ("warmup_steps", self.warmup_steps)):
            if self.name == "constant" and value:
                problems.append(
                    f"{leaf} = {value} cannot act with name = 'constant'; "
                    f"choose 'constant_with_warmup' or set {leaf} = 0"
                )
        if (self.name == "staged") != bool(self.stages):
            problems.append(
                "name = 'staged' needs stages, such as [{ epochs = 10 }, { epochs = 10, factor = 0.1 }]"
                if not self.stages
                else f"stages act only with name = 'staged', but got name = {self.name!r}"
            )
        if problems:
            raise ValueError("; ".join(problems))
        return self
