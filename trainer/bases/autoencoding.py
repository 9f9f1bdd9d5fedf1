"""Pictures to latents and back: some at a time, and large ones in tiles, so that memory depends on neither."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
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


def vae_scale(config: Mapping[str, Any]) -> int:
    """Pixels per side of what an autoencoder makes, by its configuration."""
    return 1 << (len(config["block_out_channels"]) - 1)


def shifted(vae: Any, pixels: Tensor) -> Tensor:
    """Mean latents (n, channels, h, w), shifted and scaled as the VAE's configuration says."""
    mean: Tensor = vae.encode(pixels).latent_dist.mode()
    scaling: float = vae.config.scaling_factor
    return (mean - shift if (shift := _shift(vae)) else mean) * scaling


def unshifted(vae: Any, latents: Tensor) -> Tensor:
    """The inverse, then the VAE's decoder: pictures in [-1, 1]."""
    plain = latents / vae.config.scaling_factor
    plain = plain + shift if (shift := _shift(vae)) else plain
    found: Tensor = vae.decode(plain.to(dtype_of(vae.decoder))).sample
    return found


def _shift(vae: Any) -> float:
    """What the VAE's latents lie around, as those of SD 3 and FLUX.1 do; 0 for none."""
    return getattr(vae.config, "shift_factor", None) or 0.0


@dataclass(frozen=True, slots=True)
class Codec:
    """From pictures to a family's latents and back."""

    encode: Callable[[Any, Tensor], Tensor] = shifted
    """The VAE, RGB images (n, 3, height, width) in [-1, 1] in its number format -> latents (n, channels, h, w)."""
    decode: Callable[[Any, Tensor], Tensor] = unshifted
    """The inverse; in the number format of the VAE's decoder."""
    scale: Callable[[Mapping[str, Any]], int] = vae_scale
    """Pixels per latent along one side, by the VAE's configuration."""
    patch: int = 1
    """How many of the VAE's own latents a latent holds along one side."""


PLAIN = Codec()


def encode(vae: Any, pixels: Tensor, limits: Limits, codec: Codec = PLAIN) -> Tensor:
    """Mean latents (n, channels, h, w) of RGB images (n, 3, height, width) in [-1, 1], as the denoiser reads them."""

    def some(take: slice) -> Tensor:
        return codec.encode(vae, pixels[take].to(vae.device, dtype_of(vae.encoder)))

    return limits.run("encoding", len(pixels), at_once(pixels.shape[-1] * pixels.shape[-2]), some)


def decode(vae: Any, latents: Tensor, limits: Limits, codec: Codec = PLAIN) -> Tensor:
    """RGB images (n, 3, height, width) in [0, 1] from latents; NaN stays NaN.

    Args:
        vae: one of diffusers'.
        latents: shape (n, channels, h, w).
        limits: how many it takes at a time.
        codec: the family's.
    """
    scale = codec.scale(vae.config)

    def some(take: slice) -> Tensor:
        return (codec.decode(vae, latents[take]).float() / 2 + 0.5).clamp(0, 1)

    height, width = (scale * side for side in latents.shape[-2:])
    with tiled(vae, max(height, width), scale // codec.patch):
        return limits.run("decoding", len(latents), at_once(height * width), some)


def dtype_of(network: Any) -> torch.dtype:
    """The number format that a network computes in."""
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
    if hasattr(vae, "tile_sample_min_size"):
        vae.tile_sample_min_size, vae.tile_latent_min_size = TILE, TILE // scale
    else:  # Qwen-Image's
        vae.tile_sample_min_height = vae.tile_sample_min_width = TILE
        vae.tile_sample_stride_height = vae.tile_sample_stride_width = TILE * 3 // 4
    vae.enable_tiling()
    try:
        yield
    finally:
        vae.disable_tiling()
