"""Validation loss relative to the base model (pure)."""

from __future__ import annotations

from torch import Tensor


def log_ratio(loss: Tensor, base_loss: Tensor) -> Tensor:
    """log(L / L_base) of the same cells; negative is better than the base.

    A plain mean of losses is ruled by the timesteps where the loss is large; logarithms weigh cells alike.

    Args:
        loss: mean squared errors, shape (..., images, timesteps).
        base_loss: the bare base model's on the same images, timesteps and noise, broadcastable.
    """
    return loss.double().log() - base_loss.double().log()


def by_image(cells: Tensor) -> Tensor:
    """(..., images, timesteps) -> (..., images)."""
    return cells.mean(dim=-1)


def by_timestep(cells: Tensor) -> Tensor:
    """(..., images, timesteps) -> (..., timesteps)."""
    return cells.mean(dim=-2)
