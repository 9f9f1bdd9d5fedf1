"""Pictures and latents of an autoencoder of videos, as Qwen-Image and Krea 2 have it: each is a video of one frame."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from trainer.bases.autoencoding import Codec, dtype_of


def encode(vae: Any, pixels: Tensor) -> Tensor:
    """Mean latents of a video of one frame, channel by channel brought to mean 0 and variance 1."""
    mean: Tensor = vae.encode(pixels.unsqueeze(2)).latent_dist.mode().squeeze(2)
    centre, spread = _statistics(vae, mean)
    return (mean - centre) / spread


def decode(vae: Any, latents: Tensor) -> Tensor:
    """The inverse, then the VAE's decoder."""
    centre, spread = _statistics(vae, latents)
    plain = (latents * spread + centre).to(dtype_of(vae.decoder))
    found: Tensor = vae.decode(plain.unsqueeze(2)).sample
    return found.squeeze(2)


def _statistics(vae: Any, like: Tensor) -> tuple[Tensor, Tensor]:
    centre, spread = (
        torch.tensor(numbers).view(1, -1, 1, 1).to(like)
        for numbers in (vae.config.latents_mean, vae.config.latents_std)
    )
    return centre, spread


ONE_FRAME = Codec(encode, decode, lambda config: 2 ** len(config["temperal_downsample"]))
