"""How many pictures an autoencoder takes at a time, and from which size on in tiles."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

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
