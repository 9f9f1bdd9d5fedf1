"""Samplers of pictures by the names that WebUIs give them, each through diffusers.

Nothing heavy is loaded until one is made: study files check their names here.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from trainer.bases.families import FAMILIES
from trainer.bases.family import Family, Rendering

if TYPE_CHECKING:
    from torch import Tensor

SOLVERS: tuple[str, ...] = tuple(
    sorted({name for family in FAMILIES.values() for name in family.rendering.samplers})
)
"""Names that some family of base models has."""


def problem(name: str, family: Family | None = None) -> str | None:
    """What is wrong with a sampler's name; None if there is such a sampler.

    Args:
        name: as a user wrote it.
        family: of the base model, where it is known.
    """
    if name not in SOLVERS:
        return f"unknown sampler {name!r}; choose one of: {', '.join(SOLVERS)}"
    if family is not None and name not in family.rendering.samplers:
        return (
            f"{family.title} has no sampler {name!r}; choose one of: {', '.join(family.rendering.samplers)}"
        )
    return None


def make(name: str | None, rendering: Rendering, schedule_config: Mapping[str, Any]) -> Any:
    """A diffusers scheduler on the base model's noise schedule, whose timesteps are still to be set.

    Args:
        name: one of the family's samplers; None takes its own.
        rendering: the family's.
        schedule_config: the base model's.
    """
    import diffusers

    kind, extra = rendering.samplers[name or rendering.sampler]
    return getattr(diffusers, kind).from_config(dict(schedule_config), **extra)


def scaled(solver: Any, latents: Tensor, timestep: Tensor) -> Tensor:
    """Latents as the denoiser meets them; solvers of flows leave them as they are."""
    scale = getattr(solver, "scale_model_input", None)
    found: Tensor = latents if scale is None else scale(latents, timestep)
    return found


def first_sigma(solver: Any) -> float:
    """What the starting noise is multiplied by; 1 for flows."""
    return float(getattr(solver, "init_noise_sigma", 1.0))


def draws(solver: Any) -> bool:
    """Whether its steps may ask for random numbers."""
    return "generator" in inspect.signature(solver.step).parameters
