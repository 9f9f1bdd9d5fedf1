"""Tests of how many pictures an autoencoder takes at a time, and of tiles."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from trainer.bases import autoencoding, base_model
from trainer.bases.autoencoding import at_once
from trainer.bases.base_model import BaseModel


def test_one_picture_of_512_pixels_is_taken_at_a_time_and_many_small_ones() -> None:
    assert [at_once(side * side) for side in (64, 512, 1024)] == [64, 1, 1]


def smooth(base: BaseModel, side: int) -> torch.Tensor:
    """Latents of a smooth picture of so many pixels a side."""
    line = torch.linspace(-1, 1, side)
    return base.encode_image(
        torch.stack([line.expand(side, side), line.expand(side, side).T, 0 * line + line[:, None]])[None]
    )


def test_large_pictures_are_decoded_in_tiles_that_look_like_the_whole(
    pristine_base: BaseModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(autoencoding, "TILED_FROM", 192)
    monkeypatch.setattr(autoencoding, "TILE", 128)
    latents, seen = smooth(pristine_base, 192), list[int]()
    scaled = latents / pristine_base.vae.config.scaling_factor
    with torch.no_grad():
        whole = (pristine_base.vae.decode(scaled).sample / 2 + 0.5).clamp(0, 1)
    inner = pristine_base.vae.decoder.forward

    def watched(given: torch.Tensor) -> torch.Tensor:
        seen.append(given.shape[-1] * pristine_base.latent_scale)
        made: torch.Tensor = inner(given)
        return made

    monkeypatch.setattr(pristine_base.vae.decoder, "forward", watched)
    tiles = pristine_base.decode(latents)
    assert max(seen) == 128
    assert tiles.shape == whole.shape
    assert float((tiles - whole).abs().mean()) < 0.02
    assert not pristine_base.vae.use_tiling


def test_smaller_pictures_are_decoded_whole(pristine_base: BaseModel) -> None:
    latents = smooth(pristine_base, 128)
    with torch.no_grad():
        whole = pristine_base.vae.decode(latents / pristine_base.vae.config.scaling_factor).sample
    torch.testing.assert_close(pristine_base.decode(latents), (whole / 2 + 0.5).clamp(0, 1))


def test_pictures_are_decoded_in_bfloat16_where_the_base_computes_in_it_and_encoded_in_full(
    assets: Path,
) -> None:
    whole, half = (base_model.load(assets / "micro-sd", precision) for precision in ("no", "bf16"))
    latents = smooth(whole, 64)
    assert torch.equal(smooth(half, 64), latents)
    assert next(half.vae.decoder.parameters()).dtype is torch.bfloat16
    pictures = half.decode(latents)
    assert pictures.dtype is torch.float32
    assert 0 < float((pictures - whole.decode(latents)).abs().max()) < 0.05
