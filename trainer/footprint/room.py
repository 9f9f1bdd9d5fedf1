"""How much a device has to give, and which settings "auto" stands for there."""

from __future__ import annotations

from collections.abc import Callable

import torch

from trainer.footprint.fitting import Fit, Setting, fit
from trainer.footprint.forecast import Needs
from trainer.plan import TrainingPlan
from trainer.plans.compute import ComputePlan

SHARE = 0.9
"""How much of what is free a forecast may fill: allocators round up, and others come and go."""


def free_bytes(device: torch.device) -> int:
    """What this process may still take of a CUDA device, what its allocator holds idle included."""
    torch.cuda.empty_cache()
    free, _ = torch.cuda.mem_get_info(device)
    return free


def resolved(
    plan: TrainingPlan, device: torch.device, most: int, forecaster: Callable[[], Callable[[Setting], Needs]]
) -> ComputePlan:
    """The plan's section with ``gradient_checkpointing`` settled.

    Args:
        plan: the heaviest.
        device: before anything of the study is on it; activations of a CPU are never computed again by "auto".
        most: trials of the largest pack that is wanted.
        forecaster: makes what tells the needs of a setting; asked for only where something is to be settled.
    """
    compute = plan.compute
    if compute.gradient_checkpointing != "auto":
        return compute
    found: Fit | None = None
    if device.type == "cuda":
        room = int(SHARE * free_bytes(device))
        setting = Setting(plan.data.resolution, compute.base_format, False, compute.offload)
        found = fit(forecaster(), [setting], plan.data.batch_size, room, most)
    wanted = device.type == "cuda" and (found is None or found.setting.checkpointing)
    return compute.model_copy(update={"gradient_checkpointing": wanted})
