"""Trains the autoencoder: 64 px pictures to 4 x 16 x 16 latents and back."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

import numpy as np
import shapes
import torch
from artwork import SEEN_STYLES, STATE, UNSEEN_STYLE, gallery, is_held_out
from torch import Tensor, nn
from training import Plan, device, train

if TYPE_CHECKING:
    from diffusers import AutoencoderKL

BATCH = 12
KL_WEIGHT = 1e-6
COLOURED_SHARE = 0.15
"""Share of pictures that lie on a random colour instead of white."""


def pictures(held_out: bool) -> Tensor:
    """Returns straight RGBA pictures of the seen styles, shape (n, 4, 64, 64), in [0, 1]."""
    galleries = [gallery(style) for style in SEEN_STYLES]
    chosen = [item.only(name for name in item.names if is_held_out(name) == held_out) for item in galleries]
    stacked = np.concatenate([item.pictures for item in chosen])
    return torch.from_numpy(stacked).permute(0, 3, 1, 2).float() / 255


def unseen() -> Tensor:
    """Returns 160 pictures that no autoencoder trained on, shape (n, 3, 64, 64), in [-1, 1].

    Half show held-out concepts in known styles, half the unseen style.
    """
    known = pictures(held_out=True)
    known = known[torch.linspace(0, len(known) - 1, 80).long()]
    stranger = torch.from_numpy(gallery(UNSEEN_STYLE).pictures).permute(0, 3, 1, 2).float() / 255
    stranger = stranger[torch.linspace(0, len(stranger) - 1, 80).long()]
    return on_colour(torch.cat([known, stranger]), torch.ones(160, 3, 1, 1))


def on_colour(rgba: Tensor, colour: Tensor) -> Tensor:
    """Returns pictures in [-1, 1] over colours in [0, 1]: (n, 4, h, w) over (n, 3, 1, 1) gives (n, 3, h, w)."""
    alpha = rgba[:, 3:]
    return (rgba[:, :3] * alpha + colour * (1 - alpha)) * 2 - 1


def draw(stock: Tensor, generator: torch.Generator) -> Tensor:
    """Returns one batch of pictures in [-1, 1], most of them on white, each shifted by up to 3 px."""
    rows = torch.randint(len(stock), (BATCH,), generator=generator)
    colour = torch.rand(BATCH, 3, 1, 1, generator=generator)
    white = torch.rand(BATCH, 1, 1, 1, generator=generator) >= COLOURED_SHARE
    batch = on_colour(stock[rows], torch.where(white, torch.ones_like(colour), colour))
    shift = torch.randint(-3, 4, (2,), generator=generator).tolist()
    return torch.roll(batch, shifts=shift, dims=(2, 3))


def reconstruction_loss(model: AutoencoderKL, batch: Tensor, noise: Tensor) -> Tensor:
    """Returns mean absolute plus squared error, plus the KL term per picture times its weight."""
    posterior = model.encode(batch).latent_dist
    restored = model.decode(posterior.mean + posterior.std * noise).sample.float()
    error = restored - batch
    divergence = posterior.kl().float().mean()
    return error.abs().mean() + error.square().mean() + KL_WEIGHT * divergence


@torch.no_grad()
def psnr(model: AutoencoderKL, batch: Tensor) -> float:
    """Returns the mean over pictures of 10 log10(1 / mse), for values in [0, 1], in dB."""
    errors = []
    for part in batch.split(16):
        restored = model.decode(model.encode(part).latent_dist.mean).sample.float().clamp(-1, 1)
        errors.append(((restored - part) / 2).square().mean(dim=(1, 2, 3)))
    return float((-10 * torch.log10(torch.cat(errors))).mean())


def main() -> None:
    """Trains from the checkpoint on and exports the average in the end."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=3600)
    steps = parser.parse_args().steps
    where = device()
    torch.manual_seed(0)
    model = shapes.autoencoder().to(where)
    stock, test = pictures(held_out=False), unseen().to(where)
    print(
        sum(weight.numel() for weight in model.parameters()), "weights,", len(stock), "pictures", flush=True
    )
    size = (BATCH, shapes.LATENT_CHANNELS, shapes.LATENT_PIXELS, shapes.LATENT_PIXELS)

    def loss_of(network: nn.Module, generator: torch.Generator) -> Tensor:
        batch = draw(stock, generator).to(where)
        noise = torch.randn(size, generator=generator).to(where)
        with torch.autocast(where.type, torch.bfloat16):
            return reconstruction_loss(network, batch, noise)  # type: ignore[arg-type]

    def note(average: nn.Module, step: int) -> str:
        return f"psnr {psnr(average, test):.2f} dB"  # type: ignore[arg-type]

    train(Plan("vae", steps, peak_rate=1.5e-3, weight_decay=0.0), model, loss_of, STATE, note)


if __name__ == "__main__":
    main()
