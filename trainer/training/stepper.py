"""What moves one trial's weights: its optimiser, its schedule and its loss scale."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

import torch

from trainer.plan import TrainingPlan
from trainer.plans.optimiser_kinds import OPTIMISERS
from trainer.training import optimisers, schedules
from trainer.training.joined import Joined

if TYPE_CHECKING:
    from torch.optim import Optimizer


class Stepper:
    """An optimiser over flat parameters, one a group, unless its updates go tensor by tensor.

    Args:
        plan: what is trained.
        groups: of leaf tensors, with learning rates on AdamW's scale; empty ones are left out.
        steps: of the whole trial.
        device: type of the bank's.
    """

    def __init__(self, plan: TrainingPlan, groups: optimisers.Groups, steps: int, device: str) -> None:
        self._plan, self._steps = plan, steps
        self._groups = [group for group in groups if group["params"]]
        self.scaler = torch.amp.GradScaler(device, enabled=plan.compute.mixed_precision == "fp16")
        self.scaler.scale(torch.zeros((), device=device))  # makes its scale, which losses are multiplied by
        self._build(None if OPTIMISERS[plan.optimiser.name].leafwise else Joined(self._groups))

    def _build(self, joined: Joined | None) -> None:
        plan, self._joined = self._plan, joined
        groups = self._groups if joined is None else joined.groups
        self.optimiser: Optimizer = optimisers.build(plan.optimiser, groups)
        self.schedule = schedules.build(plan.schedule, self.optimiser, self._steps, plan.data.epochs)

    def unscale(self) -> None:
        """Takes the loss scale out of the gradients, where there is one."""
        if self.scaler.is_enabled():
            with self._gathered("gradients"):
                self.scaler.unscale_(self.optimiser)

    def step(self) -> None:
        """Moves the weights, and the learning rates; a group whose leaves have no gradient rests."""
        with self._gathered("values"):
            if self.scaler.is_enabled():
                self.scaler.step(self.optimiser)
                self.scaler.update()
            else:
                self.optimiser.step()
        self.schedule.step()

    def state_dict(self) -> dict[str, Any]:
        """All that is needed to go on."""
        parts = {"optimiser": self.optimiser, "schedule": self.schedule, "scaler": self.scaler}
        return {name: part.state_dict() for name, part in parts.items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes on from there; a trial that was begun tensor by tensor stays so."""
        before = sum(len(group["params"]) for group in state["optimiser"]["param_groups"])
        if self._joined is not None and before != len(self._groups):
            self._build(None)
        self.optimiser.load_state_dict(state["optimiser"])
        self.schedule.load_state_dict(state["schedule"])
        if self.scaler.is_enabled():
            self.scaler.load_state_dict(state["scaler"])

    def _gathered(self, changes: str) -> AbstractContextManager[None]:
        return nullcontext() if self._joined is None else self._joined.gathered(changes)
