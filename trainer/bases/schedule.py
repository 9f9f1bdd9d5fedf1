"""The noise schedule of a base model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from trainer.bases.process import Diffusion, Flow, Shift


def diffusion(configs: Path, prediction: str, terminal: bool) -> tuple[dict[str, Any], Diffusion]:
    """A diffusers scheduler's configuration for rendering, and how noise is added.

    Args:
        configs: a folder with the scheduler's.
        prediction: what the network says.
        terminal: whether nothing of the picture is left at the end.
    """
    from diffusers import DDPMScheduler

    scheduler = DDPMScheduler.from_pretrained(configs / "scheduler", local_files_only=True)
    config = dict(scheduler.config)
    config["prediction_type"] = prediction
    if not terminal:
        if config.get("rescale_betas_zero_snr"):
            config["rescale_betas_zero_snr"] = False
            scheduler = DDPMScheduler.from_config(config)
        return config, Diffusion(scheduler.alphas_cumprod.double(), prediction)
    config |= {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}
    return config, Diffusion(ending_in_noise(scheduler.alphas_cumprod.double()), prediction)


def flow(configs: Path, **facts: Any) -> tuple[dict[str, Any], Flow]:
    """The same of a flow.

    Args:
        configs: a folder with the scheduler's.
        facts: of ``Flow``.
    """
    from diffusers import FlowMatchEulerDiscreteScheduler

    scheduler = FlowMatchEulerDiscreteScheduler.from_pretrained(configs / "scheduler", local_files_only=True)
    config = dict(scheduler.config)
    return config, Flow(shift_of(config), **facts)


def shift_of(config: Mapping[str, Any]) -> Shift:
    """What a scheduler's configuration says of moving timesteps; diffusers' pipelines have these defaults."""
    by_resolution = bool(config.get("use_dynamic_shifting"))
    return Shift(
        1.0 if by_resolution else config.get("shift", 1.0),
        by_resolution,
        (config.get("base_image_seq_len") or 256, config.get("max_image_seq_len") or 4096),
        (config.get("base_shift") or 0.5, config.get("max_shift") or 1.15),
    )


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
