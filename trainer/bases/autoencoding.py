"""Pictures to latents and back: some at a time, and large ones in tiles, so that memory depends on neither."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from trainer.limits import Limits

PIXELS_AT_ONCE = 512 * 512
"""In one pass: decoding takes about 3 KiB a pixel in float32."""
TILED_FROM = 768
"""Longest side in pixels from which pictures are decoded in tiles, on every device alike: scores must not depend
on the card."""
TILE = 512
"""Side of a tile in pixels; neighbours overlap by a quarter and are blended."""


def at_once(pixels: int) -> int:
    """How many pictures of so many pixels are encoded or decoded in one pass."""
    return max(1, PIXELS_AT_ONCE // pixels)


def settle(vae: Any, dtype: torch.dtype) -> None:
    """Decodes in bfloat16 where the base model computes in it; float16 overflows in SDXL's decoder, so it is not used.

    Latents, which all training rests on, are encoded as precisely as ever.

    Args:
        vae: diffusers' AutoencoderKL in float32, changed in place.
        dtype: of the base model.
    """
    if dtype is torch.bfloat16:
        for part in (vae.decoder, vae.post_quant_conv):
            if part is not None:
                part.to(dtype)


def encode(vae: Any, pixels: Tensor, limits: Limits) -> Tensor:
    """Shifted and scaled mean latents (n, channels, h, w) of RGB images (n, 3, height, width) in [-1, 1]."""

    def some(take: slice) -> Tensor:
        mean: Tensor = vae.encode(pixels[take].to(vae.device, _dtype(vae.encoder))).latent_dist.mode()
        return mean

    scaling: float = vae.config.scaling_factor
    found = limits.run("encoding", len(pixels), at_once(pixels.shape[-1] * pixels.shape[-2]), some)
    return (found - shift if (shift := _shift(vae)) else found) * scaling


def decode(vae: Any, latents: Tensor, scale: int, limits: Limits) -> Tensor:
    """RGB images (n, 3, height, width) in [0, 1] from latents; NaN stays NaN.

    Args:
        vae: diffusers' AutoencoderKL.
        latents: shape (n, channels, h, w), shifted and scaled.
        scale: pixels per latent along one side.
        limits: how many it takes at a time.
    """

    def some(take: slice) -> Tensor:
        plain = latents[take] / vae.config.scaling_factor
        plain = plain + shift if (shift := _shift(vae)) else plain
        images: Tensor = vae.decode(plain.to(_dtype(vae.decoder))).sample
        return (images.float() / 2 + 0.5).clamp(0, 1)

    height, width = (scale * side for side in latents.shape[-2:])
    with tiled(vae, max(height, width), scale):
        return limits.run("decoding", len(latents), at_once(height * width), some)


def _shift(vae: Any) -> float:
    """What the VAE's latents lie around, as those of SD 3 and FLUX.1 do; 0 for none."""
    return getattr(vae.config, "shift_factor", None) or 0.0


def _dtype(network: Any) -> torch.dtype:
    dtype: torch.dtype = next(network.parameters()).dtype
    return dtype


@contextmanager
def tiled(vae: Any, longest: int, scale: int) -> Iterator[None]:
    """While it lasts, pictures whose longest side is large are decoded in tiles.

    Args:
        vae: diffusers' AutoencoderKL.
        longest: longest side in pixels.
        scale: pixels per latent along one side.
    """
    if longest < TILED_FROM:
        yield
        return
    vae.tile_sample_min_size, vae.tile_latent_min_size = TILE, TILE // scale
    vae.enable_tiling()
    try:
        yield
    finally:
        vae.disable_tiling()
