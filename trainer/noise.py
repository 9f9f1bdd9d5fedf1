"""What a presentation adds to an image: timestep, noise and offset, drawn by position."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from trainer.seeds import generator


@dataclass(frozen=True, slots=True)
class Draw:
    """The random numbers of one presentation; the same for every trial that reaches it."""

    timestep: int
    noise: Tensor
    """Shape (channels, h, w), standard normal."""
    offset: Tensor
    """Shape (channels, 1, 1), standard normal; scaled by a trial's own noise offset."""


@lru_cache(maxsize=512)
def draw(seed: int, presentation: int, shape: tuple[int, ...], timesteps: int) -> Draw:
    """Timestep uniform in [0, timesteps) and normal noise of latent ``shape`` (channels, h, w)."""
    source = generator(seed, "presentation", presentation)
    timestep = int(torch.randint(timesteps, (), generator=source))
    noise = torch.randn(shape, generator=source)
    return Draw(timestep, noise, torch.randn(shape[0], 1, 1, generator=source))


def noised(latents: Tensor, noise: Tensor, alphas_cumprod: Tensor) -> Tensor:
    """sqrt(a) x + sqrt(1 - a) noise (Ho et al. 2020, eq. 4).

    Args:
        latents: shape (n, channels, h, w).
        noise: same shape.
        alphas_cumprod: a at each row's timestep, shape (n,).
    """
    a = alphas_cumprod.view(-1, 1, 1, 1).to(latents)
    return a.sqrt() * latents + (1 - a).sqrt() * noise


def target(latents: Tensor, noise: Tensor, alphas_cumprod: Tensor, prediction_type: str) -> Tensor:
    """What the U-Net should say: the noise, or v = sqrt(a) noise - sqrt(1 - a) x (Salimans & Ho 2022)."""
    if prediction_type == "epsilon":
        return noise
    a = alphas_cumprod.view(-1, 1, 1, 1).to(latents)
    return a.sqrt() * noise - (1 - a).sqrt() * latents
