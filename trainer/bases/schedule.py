"""The noise schedule of a base model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from trainer.bases.find import Source


@dataclass(frozen=True, slots=True)
class Schedule:
    """How much of a picture is left at each timestep."""

    config: dict[str, Any]
    """A diffusers scheduler's configuration, for rendering."""
    alphas_cumprod: Tensor
    """Shape (timesteps,), float64."""


def read(source: Source) -> Schedule:
    """The schedule of a base model as its plan wants it."""
    from diffusers import DDPMScheduler

    scheduler = DDPMScheduler.from_pretrained(source.configs / "scheduler", local_files_only=True)
    config = dict(scheduler.config)
    config["prediction_type"] = source.prediction_type
    if not source.zero_terminal_snr:
        if config.get("rescale_betas_zero_snr"):
            config["rescale_betas_zero_snr"] = False
            scheduler = DDPMScheduler.from_config(config)
        return Schedule(config, scheduler.alphas_cumprod.double())
    config |= {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}
    return Schedule(config, ending_in_noise(scheduler.alphas_cumprod.double()))


def ending_in_noise(alphas_cumprod: Tensor) -> Tensor:
    """A schedule shifted and scaled so that nothing of the picture is left at its end.

    Zero terminal SNR (Lin et al. 2023, algorithm 1): sqrt(a) loses its last value and is stretched to keep its
    first. A schedule that ends so already stays as it is.

    Args:
        alphas_cumprod: a, shape (timesteps,).
    """
    roots = alphas_cumprod.sqrt()
    first, last = roots[0], roots[-1]
    stretched: Tensor = (roots - last) * (first / (first - last))
    return stretched.square()
