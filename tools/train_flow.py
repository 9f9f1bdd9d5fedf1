"""Trains the micro Stable Diffusion 3: a flow-matching transformer and its two text encoders, on the same latents."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

import shapes
import torch
from artwork import STATE
from export import shipped_pipeline, stable_diffusion_3
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from train_base import Cell, Stock, draw, shipped_autoencoder, stock, validation
from training import Both, Plan, device, train
from vocabulary import tokenizer

if TYPE_CHECKING:
    from transformers import CLIPTextModelWithProjection

SHIFT = 2.0
"""Moves noise levels upwards, in training and rendering: what a caption decides is decided where noise rules."""


class Flow(nn.Module):
    """The three networks that are trained together."""

    def __init__(self, vocabulary: int) -> None:
        super().__init__()
        self.texts = nn.ModuleList(
            (shapes.flow_text_encoder(vocabulary), shapes.small_text_encoder(vocabulary))
        )
        self.transformer = shapes.flow_transformer()

    def forward(self, noisy: Tensor, timesteps: Tensor, tokens: Tensor) -> Tensor:
        """Returns the velocity from picture to noise that the transformer sees, shape as `noisy`."""
        told = [text(tokens, output_hidden_states=True) for text in self.texts]
        states = torch.cat([one.hidden_states[-2] for one in told], dim=-1)
        states = torch.cat((states, torch.zeros_like(states)), dim=1)
        pooled = torch.cat([one.text_embeds for one in told], dim=-1)
        return self.transformer(noisy, states, pooled, timesteps).sample


def initial(vocabulary: int) -> Flow:
    """Returns the networks untrained, the larger text encoder with what the micro Stable Diffusion's has learnt."""
    model = Flow(vocabulary)
    first: CLIPTextModelWithProjection = model.texts[0]
    first.text_model.load_state_dict(shipped_pipeline().text_encoder.state_dict(), strict=False)
    nn.init.eye_(first.text_projection.weight)
    return model


def shifted(levels: Tensor) -> Tensor:
    """Returns noise levels, 0 to 1, moved upwards (Esser et al. 2024, arXiv:2403.03206, equation 23)."""
    return SHIFT * levels / (1 + (SHIFT - 1) * levels)


def errors(model: nn.Module, cell: Cell, levels: Tensor) -> Tensor:
    """Returns each picture's mean squared error of the predicted velocity, shape (b,)."""
    share = levels.view(-1, 1, 1, 1)
    noisy = (1 - share) * cell.latents + share * cell.noise
    predicted = model(noisy, levels * 1000, cell.tokens).float()
    return (predicted - (cell.noise - cell.latents)).square().mean(dim=(1, 2, 3))


def training_loss(model: nn.Module, cell: Cell, generator: torch.Generator) -> Tensor:
    """Returns the mean error at logit-normal noise levels (arXiv:2403.03206, section 3.1)."""
    levels = torch.randn(len(cell.latents), generator=generator).sigmoid().to(cell.latents.device)
    return errors(model, cell, shifted(levels)).mean()


@torch.no_grad()
def validation_loss(model: nn.Module, cell: Cell) -> float:
    """Returns the mean error over held-out cells, noise levels evenly spread."""
    where = next(model.parameters()).device
    parts = zip(
        *(item.split(32) for item in (cell.latents, cell.noise, cell.timesteps, cell.tokens)), strict=True
    )
    cells = [Cell(*part).to(where) for part in parts]
    return float(torch.cat([errors(model, part, (part.timesteps + 1) / 1000) for part in cells]).mean())


def short(pictures: Stock) -> Stock:
    """Returns a stock whose captions are as long as this base reads them."""
    return Stock(pictures.latents, pictures.captions[..., : shapes.FLOW_TOKENS])


def main() -> None:
    """Trains from the checkpoint on, and exports the running average at the end."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=6_000)
    parser.add_argument("--export", action="store_true", help="write what has been learnt so far, and end")
    chosen = parser.parse_args()
    where = device()
    torch.manual_seed(0)
    model = initial(len(tokenizer())).to(where)
    vae = shipped_autoencoder()
    pictures, held_out = short(stock(vae, held_out=False)), short(stock(vae, held_out=True))
    cells = validation(held_out)
    print(sum(weight.numel() for weight in model.parameters()), "weights,", len(pictures.latents), "pictures")

    def loss_of(network: nn.Module, generator: torch.Generator) -> Tensor:
        with torch.autocast(where.type, torch.bfloat16), sdpa_kernel(SDPBackend.MATH):
            return training_loss(network, draw(pictures, generator).to(where), generator)

    def note(average: nn.Module, step: int) -> str:
        return f"validation {validation_loss(average, cells):.4f}"

    steps = 0 if chosen.export else chosen.steps
    plan = Plan("flow", steps, 2e-3, warm_steps=200, decay=0.998, seconds_between_saves=240)
    average = train(plan, model, loss_of, STATE, note, optimiser=Both)
    stable_diffusion_3(vae, list(average.texts), average.transformer, SHIFT)  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
