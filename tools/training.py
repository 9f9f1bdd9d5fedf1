"""What every training here shares: the schedule, the running average, checkpoints, and one resumable loop."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

SEED = 20261121


class Both(torch.optim.Optimizer):
    """Muon on the matrices of transformer blocks, AdamW on all else (Jordan et al. 2024; rates on AdamW's scale)."""

    def __init__(self, model: nn.Module, plan: Plan) -> None:
        blocks = {
            name for name, weight in model.named_parameters() if "_blocks." in name and weight.ndim == 2
        }
        kinds = [
            [weight for name, weight in model.named_parameters() if (name in blocks) == which]
            for which in (True, False)
        ]
        muon = torch.optim.Muon(
            kinds[0], lr=plan.peak_rate, weight_decay=plan.weight_decay, adjust_lr_fn="match_rms_adamw"
        )
        self.parts = (muon, adamw(kinds[1], plan))
        self.param_groups = [group for part in self.parts for group in part.param_groups]

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forgets all gradients."""
        for part in self.parts:
            part.zero_grad(set_to_none)

    def step(self) -> None:  # type: ignore[override]
        """Takes one step with both."""
        for part in self.parts:
            part.step()

    def state_dict(self) -> dict[str, Any]:
        """Returns what `load_state_dict` reads."""
        return {str(number): part.state_dict() for number, part in enumerate(self.parts)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on from what `state_dict` returned."""
        for number, part in enumerate(self.parts):
            part.load_state_dict(state[str(number)])
        self.param_groups = [group for part in self.parts for group in part.param_groups]


def adamw(weights: list[nn.Parameter], plan: Plan) -> torch.optim.AdamW:
    """Returns the optimiser of most trainings here."""
    return torch.optim.AdamW(weights, lr=plan.peak_rate, betas=(0.9, 0.99), weight_decay=plan.weight_decay)


def _adamw(model: nn.Module, plan: Plan) -> torch.optim.Optimizer:
    return adamw(list(model.parameters()), plan)


@dataclass(frozen=True)
class Plan:
    """How long and how fast to train.

    Attributes:
        name: Names the checkpoint in `.micro/`.
        steps: Optimiser steps in all.
        peak_rate: Learning rate after the warm-up.
        warm_steps: Steps of linear warm-up.
        decay: Of the running average of the weights, once warm.
        weight_decay: AdamW's.
        seconds_between_saves: How often a checkpoint is written.
    """

    name: str
    steps: int
    peak_rate: float
    warm_steps: int = 200
    decay: float = 0.999
    weight_decay: float = 0.01
    seconds_between_saves: float = 120.0


def device() -> torch.device:
    """Returns CUDA if there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def learning_rate(step: int, plan: Plan) -> float:
    """Returns the rate at a step: linear warm-up, then half a cosine down to a hundredth of the peak."""
    if step < plan.warm_steps:
        return plan.peak_rate * (step + 1) / plan.warm_steps
    progress = (step - plan.warm_steps) / max(1, plan.steps - plan.warm_steps)
    return plan.peak_rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1.0, progress))))


def generator(plan: Plan, step: int) -> torch.Generator:
    """Returns the random numbers of one step, so that a resumed run draws what an uninterrupted one would."""
    return torch.Generator().manual_seed(SEED * 1_000_003 + step)


def averaged_decay(step: int, limit: float) -> float:
    """Returns the average's decay at a step: short at first, `limit` in the end."""
    return min(limit, (1 + step) / (10 + step))


@torch.no_grad()
def update_average(average: nn.Module, model: nn.Module, decay: float) -> None:
    """Moves the averaged weights towards the model's."""
    pairs = list(zip(average.parameters(), model.parameters(), strict=True))
    torch._foreach_lerp_([mean for mean, _ in pairs], [new for _, new in pairs], 1 - decay)


def train(
    plan: Plan,
    model: nn.Module,
    loss_of: Callable[[nn.Module, torch.Generator], Tensor],
    folder: Path,
    on_save: Callable[[nn.Module, int], str] = lambda average, step: "",
    optimiser: Callable[[nn.Module, Plan], torch.optim.Optimizer] = _adamw,
) -> nn.Module:
    """Trains a model, resuming from its checkpoint if there is one.

    Args:
        plan: Steps, rates and names.
        model: On its device already.
        loss_of: Gives the loss of one batch that it draws with the step's generator.
        folder: Where `<name>.pt` and `<name>.log` lie.
        on_save: Called with the averaged model after each checkpoint; what it returns is logged.
        optimiser: Makes the optimiser of a model and a plan.

    Returns:
        The running average of the model.
    """
    average = copy.deepcopy(model).requires_grad_(False).eval()
    moved_by = optimiser(model, plan)
    path = folder / f"{plan.name}.pt"
    step = _resume(path, model, average, moved_by)
    losses: list[float] = []
    saved = time.monotonic()
    while step < plan.steps:
        losses.append(_advance(plan, step, model, moved_by, loss_of))
        update_average(average, model, averaged_decay(step, plan.decay))
        step += 1
        if time.monotonic() - saved > plan.seconds_between_saves or step == plan.steps:
            _save(path, model, average, moved_by, step)
            _log(folder / f"{plan.name}.log", step, plan, losses, on_save(average, step))
            losses.clear()
            saved = time.monotonic()
    return average


def _advance(
    plan: Plan,
    step: int,
    model: nn.Module,
    optimiser: torch.optim.Optimizer,
    loss_of: Callable[[nn.Module, torch.Generator], Tensor],
) -> float:
    for group in optimiser.param_groups:
        group["lr"] = learning_rate(step, plan)
    loss = loss_of(model, generator(plan, step))
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimiser.step()
    return loss.item()


def _resume(path: Path, model: nn.Module, average: nn.Module, optimiser: torch.optim.Optimizer) -> int:
    if not path.exists():
        return 0
    state: dict[str, Any] = torch.load(path, map_location=device(), weights_only=True)
    model.load_state_dict(state["model"])
    average.load_state_dict(state["average"])
    optimiser.load_state_dict(state["optimiser"])
    return int(state["step"])


def _save(
    path: Path, model: nn.Module, average: nn.Module, optimiser: torch.optim.Optimizer, step: int
) -> None:
    part = path.with_suffix(".part")
    state = {
        "model": model.state_dict(),
        "average": average.state_dict(),
        "optimiser": optimiser.state_dict(),
        "step": step,
    }
    torch.save(state, part)
    part.rename(path)


def _log(path: Path, step: int, plan: Plan, losses: list[float], note: str) -> None:
    line = f"{time.strftime('%H:%M:%S')} step {step}/{plan.steps} loss {sum(losses) / len(losses):.4f} {note}"
    with path.open("a") as stream:
        stream.write(line + "\n")
