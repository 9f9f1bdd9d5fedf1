"""What a presentation adds to an image: timestep, noise and offset, drawn by position."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from trainer.bases.process import Process
from trainer.bases.process import noised as noised
from trainer.bases.process import target as target
from trainer.plan import TrainingPlan
from trainer.plans.noise import NoisePlan
from trainer.seeds import generator


@dataclass(frozen=True, slots=True)
class NoiseDraw:
    """The random numbers of one presentation; the same for every trial that reaches it."""

    timestep: int
    noise: Tensor
    """Shape (channels, h, w), standard normal."""
    offset: Tensor
    """Shape (channels, 1, 1), standard normal; scaled by a trial's own noise offset."""


LARGEST_MEAN = 3.0
"""No channel of a latent has a mean further from 0."""


@lru_cache(maxsize=512)
def draw(seed: int, presentation: int, shape: tuple[int, ...], timesteps: int) -> NoiseDraw:
    """Timestep uniform in [0, timesteps) and normal noise of latent ``shape`` (channels, h, w)."""
    source = generator(seed, "presentation", presentation)
    timestep = int(torch.randint(timesteps, (), generator=source))
    noise = torch.randn(shape, generator=source)
    return NoiseDraw(timestep, noise, torch.randn(shape[0], 1, 1, generator=source))


@dataclass(frozen=True, slots=True)
class NoiseRow:
    """A batch row whose plan asks for more than noise and its offset."""

    index: int
    """In the batch."""
    plan: NoisePlan
    seed: int
    presentation: int


def asks(plan: NoisePlan, process: Process) -> bool:
    """Whether a plan's rows want more than their draws, noise and timestep as they are."""
    return process.continuous or not plan.plain


def rows(plan: TrainingPlan, presentations: Sequence[int], first: int) -> list[NoiseRow]:
    """The rows of one run, the first of which is row ``first`` of the batch."""
    return [NoiseRow(first + i, plan.noise, plan.seed, place) for i, place in enumerate(presentations)]


def specialise(
    special: Sequence[NoiseRow],
    draws: Sequence[NoiseDraw],
    noise: Tensor,
    timesteps: Tensor,
    process: Process,
    tokens: int = 0,
) -> Tensor:
    """Gives rows the noise and the timestep that their plans ask for, in place; the others stay.

    Args:
        special: the rows that ask for something.
        draws: of every row of the batch.
        noise: with offsets, shape (n, channels, h, w).
        timesteps: as drawn, shape (n,).
        process: of the base model.
        tokens: numbers of patches that the network reads of these pictures.

    Returns:
        The noise that the U-Net's input is built with; ``noise`` stays the target.
    """
    met = noise
    for row in special:
        i = row.index
        timesteps[i] = timestep(draws[i].timestep, process, row, tokens)
        if row.plan.multires_iterations:
            noise[i] = coarsened(noise[i], row)
    if any(row.plan.ip_gamma for row in special):
        met = noise.clone()
        for row in special:
            if row.plan.ip_gamma:
                extra = disturbance(row.seed, row.presentation, tuple(noise.shape[1:]))
                met[row.index] += row.plan.ip_gamma * extra.to(noise)
    return met


def offset(plan: NoisePlan, mean: Tensor) -> Tensor:
    """How strongly a draw's offset is added: max(0, offset + adaptive_scale * |mean|).

    Args:
        plan: of the row.
        mean: of the latent's channels, any shape.
    """
    return (plan.offset + plan.adaptive_scale * mean.abs()).clamp(min=0)


def largest_offset(plan: NoisePlan) -> float:
    """The strongest that the offset of any latent's channel can be."""
    means = torch.tensor([0.0, LARGEST_MEAN], dtype=torch.float64)
    return float(offset(plan, means).max())


def with_offset(drawn: NoiseDraw, plan: NoisePlan, clean: Tensor, dtype: torch.dtype) -> Tensor:
    """A presentation's noise with its offset, shape (channels, h, w), on the CPU.

    Args:
        drawn: its random numbers.
        plan: of the row.
        clean: the latent, same shape, anywhere.
        dtype: of the result.
    """
    mean = torch.zeros(1, 1, 1, dtype=dtype)
    if plan.adaptive_scale:
        mean = clean.to(dtype).mean(dim=(1, 2), keepdim=True).cpu()
    return drawn.noise.to(dtype) + offset(plan, mean) * drawn.offset.to(dtype)


def coarsened(noise: Tensor, row: NoiseRow) -> Tensor:
    """Noise with a pyramid of coarser noise on it, scaled back to variance 1.

    Args:
        noise: shape (channels, h, w).
        row: whose plan it is.
    """
    plan = row.plan
    levels = pyramid(row.seed, row.presentation, tuple(noise.shape), plan.multires_iterations).to(noise)
    weights = plan.multires_discount ** torch.arange(len(levels), dtype=noise.dtype)
    result = noise + (weights.view(-1, 1, 1, 1) * levels).sum(dim=0)
    return result / result.std()


@lru_cache(maxsize=128)
def pyramid(seed: int, presentation: int, shape: tuple[int, ...], iterations: int) -> Tensor:
    """Normal noise at ever coarser resolutions, each brought to full size: shape (levels, channels, h, w).

    Level i has sides h / r^i and w / r^i with r uniform in [2, 4), drawn anew at each level (Whitaker 2023,
    "Multi-resolution noise"); the last one has a side of one pixel or is number ``iterations``. Fewer iterations
    are the first levels of more.
    """
    channels, height, width = shape
    source = generator(seed, "pyramid", presentation)
    levels = []
    for i in range(iterations):
        ratio = 2 + 2 * float(torch.rand((), generator=source))
        small = max(1, int(height / ratio**i)), max(1, int(width / ratio**i))
        drawn = torch.randn(1, channels, *small, generator=source)
        levels.append(interpolate(drawn, size=(height, width), mode="bilinear")[0])
        if 1 in small:
            break
    return torch.stack(levels)


@lru_cache(maxsize=128)
def disturbance(seed: int, presentation: int, shape: tuple[int, ...]) -> Tensor:
    """Normal noise that only the U-Net's input meets (Ning et al. 2023, algorithm 1)."""
    return torch.randn(shape, generator=generator(seed, "disturbance", presentation))


def timestep(drawn: int, process: Process, row: NoiseRow, tokens: int = 0) -> float:
    """The timestep that a plan makes of a drawn one: in the same order, spread and brought into range.

    Args:
        drawn: uniform in [0, timesteps).
        process: of the base model.
        row: whose plan it is.
        tokens: numbers of patches that the network reads of these pictures.
    """
    whole = row.plan.max_timestep - row.plan.min_timestep >= process.count
    if whole and not process.continuous:
        return drawn
    source = generator(row.seed, "timestep", row.presentation)
    place = drawn + float(torch.rand((), dtype=torch.float64, generator=source))
    return process.drawn(place, row.plan, tokens)
