"""Samplers of pictures by the names that WebUIs give them, each through diffusers.

Nothing heavy is loaded until one is made: study files check their names here.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

SOLVERS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "ddim": ("DDIMScheduler", {}),
    "ddpm": ("DDPMScheduler", {}),
    "deis": ("DEISMultistepScheduler", {}),
    "dpm2": ("KDPM2DiscreteScheduler", {}),
    "dpm2_a": ("KDPM2AncestralDiscreteScheduler", {}),
    "dpmpp_2m": ("DPMSolverMultistepScheduler", {}),
    "dpmpp_2m_karras": ("DPMSolverMultistepScheduler", {"use_karras_sigmas": True}),
    "dpmpp_2m_sde": ("DPMSolverMultistepScheduler", {"algorithm_type": "sde-dpmsolver++"}),
    "dpmpp_2m_sde_karras": (
        "DPMSolverMultistepScheduler",
        {"algorithm_type": "sde-dpmsolver++", "use_karras_sigmas": True},
    ),
    "dpmpp_2s": ("DPMSolverSinglestepScheduler", {"lower_order_final": True}),
    "euler": ("EulerDiscreteScheduler", {}),
    "euler_a": ("EulerAncestralDiscreteScheduler", {}),
    "heun": ("HeunDiscreteScheduler", {}),
    "pndm": ("PNDMScheduler", {"skip_prk_steps": True}),
    "unipc": ("UniPCMultistepScheduler", {}),
}
"""Name -> the diffusers class and what is set on top of the base model's noise schedule."""
DEFAULT = "dpmpp_2m"
"""DPM-Solver++ of second order (Lu et al. 2022)."""


def problem(name: str) -> str | None:
    """What is wrong with a sampler's name; None if there is such a sampler."""
    if name in SOLVERS:
        return None
    return f"unknown sampler {name!r}; choose one of: {', '.join(SOLVERS)}"


def make(name: str, schedule_config: Mapping[str, Any], steps: int) -> Any:
    """A diffusers scheduler on the base model's noise schedule, ready for so many steps."""
    import diffusers

    kind, extra = SOLVERS[name]
    solver = getattr(diffusers, kind).from_config(dict(schedule_config), **extra)
    solver.set_timesteps(steps)
    return solver


def draws(solver: Any) -> bool:
    """Whether its steps may ask for random numbers."""
    return "generator" in inspect.signature(solver.step).parameters
