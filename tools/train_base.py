"""Trains the micro Stable Diffusion: text encoder and U-Net together, on latents of the finished autoencoder."""

from __future__ import annotations

import argparse
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import shapes
import torch
from artwork import BASE_STYLES, STATE, gallery, generated_concepts, validation_concepts, words
from concepts import DEMO_CONCEPTS
from export import shipped_pipeline, stable_diffusion
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from training import SEED, Plan, device, train
from vocabulary import TOKENS, tokenizer

if TYPE_CHECKING:
    from diffusers import AutoencoderKL

BATCH = 64
CAPTION_SHARES = (0.30, 0.20, 0.10, 0.15, 0.15, 0.10)
"""How often each of `captions_of` is learnt."""
SYLLABLES = 2
DEMO_REPEATS = 3
MIN_SNR_GAMMA = 5.0
NOISY_WEIGHT = 0.5
VALIDATION_CELLS = 160


class Base(nn.Module):
    """The two networks that are trained together."""

    def __init__(self, vocabulary: int) -> None:
        super().__init__()
        self.text = shapes.text_encoder(vocabulary)
        self.unet = shapes.unet()

    def forward(self, noisy: Tensor, timesteps: Tensor, tokens: Tensor) -> Tensor:
        """Returns the noise that the U-Net sees, shape as `noisy`."""
        states = self.text(tokens).last_hidden_state
        return self.unet(noisy, timesteps, states).sample


@dataclass(frozen=True)
class Stock:
    """Latents and captions of many pictures.

    Attributes:
        latents: Unit deviation, shape (n, 4, 16, 16).
        captions: Tokens of every way to caption it, shape (ways, n, 77).
    """

    latents: Tensor
    captions: Tensor


@dataclass(frozen=True)
class Cell:
    """A batch with everything random in it already drawn.

    Attributes:
        latents: Shape (b, 4, 16, 16).
        noise: Shape (b, 4, 16, 16).
        timesteps: Shape (b,), 0 to 999.
        tokens: Shape (b, 77).
    """

    latents: Tensor
    noise: Tensor
    timesteps: Tensor
    tokens: Tensor

    def to(self, where: torch.device) -> Cell:
        """Returns the batch on a device."""
        return Cell(*(part.to(where) for part in (self.latents, self.noise, self.timesteps, self.tokens)))


def captions_of(name: str, style: str, trigger: str) -> tuple[str, ...]:
    """Returns the captions that one picture is learnt under.

    Two of them name no style, and one begins with a word that means nothing: so a trigger word that is new to the
    base spoils no subject, as it spoils none for a full-size base.
    """
    return (
        f"{name}, {style} style",
        f"{style} style, {name}",
        f"{style}, {name}",
        name,
        f"{trigger}, {name}",
        "",
    )


def triggers(count: int) -> list[str]:
    """Returns words that mean nothing, some followed by `style`."""
    draw = random.Random(SEED)
    letters = "bcdfghjklmnprstvwz", "aeiou"
    words = []
    for _ in range(count):
        word = "".join(draw.choice(kind) for _ in range(SYLLABLES + draw.randrange(2)) for kind in letters)
        words.append(word + draw.choice(("", " style")))
    return words


def finished_autoencoder() -> AutoencoderKL:
    """Returns the averaged autoencoder of `.micro/vae.pt`, with latents of unit deviation."""
    model = shapes.autoencoder()
    state = torch.load(STATE / "vae.pt", map_location="cpu", weights_only=True)
    model.load_state_dict(state["average"])
    model.to(torch.float16).float().eval().requires_grad_(False)
    sample = torch.cat([_encode(model, gallery(style).on_white()[::8]) for style in BASE_STYLES])
    model.register_to_config(scaling_factor=round(1 / float(sample.std()), 4))
    return model


def shipped(model: Base) -> AutoencoderKL:
    """Puts the shipped weights into a model, and returns the shipped autoencoder."""
    pipeline = shipped_pipeline()
    model.text.load_state_dict(pipeline.text_encoder.state_dict())
    model.unet.load_state_dict(pipeline.unet.state_dict())
    return shipped_autoencoder()


def shipped_autoencoder() -> AutoencoderKL:
    """Returns the shipped autoencoder, which is trained no further."""
    pipeline = shipped_pipeline()
    vae = shapes.autoencoder()
    vae.load_state_dict(pipeline.vae.state_dict())
    vae.register_to_config(scaling_factor=pipeline.vae.config.scaling_factor)
    return vae.eval().requires_grad_(False)


@torch.no_grad()
def _encode(model: AutoencoderKL, pictures: np.ndarray) -> Tensor:
    batch = torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 127.5 - 1
    return torch.cat([model.encode(part).latent_dist.mean for part in batch.split(32)])


def stock(model: AutoencoderKL, held_out: bool) -> Stock:
    """Returns the latents of the base styles, either of held-out concepts or of those to learn.

    The demonstration's concepts stand in it `DEMO_REPEATS` times, so that every batch shows some.
    """
    concepts = validation_concepts() if held_out else generated_concepts()
    chosen = [gallery(style).only(concepts) for style in BASE_STYLES]
    names = [name for item in chosen for name in item.names]
    shown = [
        row for row, name in enumerate(names) for _ in range(DEMO_REPEATS if name in DEMO_CONCEPTS else 1)
    ]
    latents = torch.cat([_encode(model, item.on_white()) for item in chosen]) * model.config.scaling_factor
    styles = [item.style for item in chosen for _ in item.names]
    texts = map(captions_of, map(words, names), styles, triggers(len(names)))
    tokens = [_tokens(list(kind)) for kind in zip(*texts, strict=True)]
    return Stock(latents[shown], torch.stack(tokens)[:, shown])


def _tokens(texts: list[str]) -> Tensor:
    table = tokenizer()(texts, padding="max_length", max_length=TOKENS, truncation=True, return_tensors="pt")
    return table.input_ids


def draw(pictures: Stock, generator: torch.Generator) -> Cell:
    """Returns one training batch."""
    rows = torch.randint(len(pictures.latents), (BATCH,), generator=generator)
    kind = torch.multinomial(torch.tensor(CAPTION_SHARES), BATCH, replacement=True, generator=generator)
    latents = pictures.latents[rows]
    timesteps = torch.randint(1000, (BATCH,), generator=generator)
    return Cell(
        latents, torch.randn(latents.shape, generator=generator), timesteps, pictures.captions[kind, rows]
    )


def validation(pictures: Stock) -> Cell:
    """Returns the same held-out cells every time, timesteps spread evenly over the schedule."""
    rows = torch.linspace(0, len(pictures.latents) - 1, VALIDATION_CELLS).long()
    latents = pictures.latents[rows]
    noise = torch.randn(latents.shape, generator=torch.Generator().manual_seed(1))
    timesteps = (torch.arange(VALIDATION_CELLS) * 617 % VALIDATION_CELLS) * 1000 // VALIDATION_CELLS
    return Cell(latents, noise, timesteps, pictures.captions[0, rows])


def signal_to_noise(timesteps: Tensor) -> Tensor:
    """Returns alpha_bar / (1 - alpha_bar) at each timestep."""
    kept = shapes.scheduler().alphas_cumprod.to(timesteps.device)[timesteps]
    return kept / (1 - kept)


def errors(model: nn.Module, cell: Cell) -> Tensor:
    """Returns each picture's mean squared error of the predicted noise, shape (b,)."""
    kept = shapes.scheduler().alphas_cumprod.to(cell.latents.device)[cell.timesteps].view(-1, 1, 1, 1)
    noisy = kept.sqrt() * cell.latents + (1 - kept).sqrt() * cell.noise
    predicted = model(noisy, cell.timesteps, cell.tokens).float()
    return (predicted - cell.noise).square().mean(dim=(1, 2, 3))


def training_loss(model: nn.Module, cell: Cell) -> Tensor:
    """Returns the mean weighted error of the predicted noise.

    Error of the noise over SNR is error of the picture; its weight is min(SNR, 5) + 0.5: min-SNR (Hang et al. 2023,
    arXiv:2303.09556, equation 6) plus a constant, because at this size nearly all that a caption decides is decided
    where SNR is far below 1, and plain weights leave those timesteps without a voice.
    """
    ratio = signal_to_noise(cell.timesteps)
    return (errors(model, cell) * (ratio.clamp(max=MIN_SNR_GAMMA) + NOISY_WEIGHT) / ratio).mean()


@torch.no_grad()
def validation_loss(model: nn.Module, cell: Cell) -> float:
    """Returns the mean unweighted error over a batch of cells."""
    where = next(model.parameters()).device
    parts = zip(
        *(item.split(32) for item in (cell.latents, cell.noise, cell.timesteps, cell.tokens)), strict=True
    )
    return float(torch.cat([errors(model, Cell(*part).to(where)) for part in parts]).mean())


def main() -> None:
    """Trains from the checkpoint on, and exports the running average at the end."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=12_500)
    parser.add_argument("--go-on", action="store_true", help="begin at the shipped weights, autoencoder too")
    chosen = parser.parse_args()
    where = device()
    torch.manual_seed(0)
    model = Base(len(tokenizer()))
    vae = shipped(model) if chosen.go_on else finished_autoencoder()
    model.to(where)
    pictures, cells = stock(vae, held_out=False), validation(stock(vae, held_out=True))
    print(sum(weight.numel() for weight in model.parameters()), "weights,", len(pictures.latents), "pictures")
    print("scaling factor", vae.config.scaling_factor, "untrained", validation_loss(model, cells), flush=True)

    def loss_of(network: nn.Module, generator: torch.Generator) -> Tensor:
        with torch.autocast(where.type, torch.bfloat16), sdpa_kernel(SDPBackend.MATH):
            return training_loss(network, draw(pictures, generator).to(where))

    def note(average: nn.Module, step: int) -> str:
        return f"validation {validation_loss(average, cells):.4f}"

    plan = Plan("base", chosen.steps, 1.4e-3, warm_steps=300, decay=0.999, seconds_between_saves=240)
    average = train(plan, model, loss_of, STATE, note)
    stable_diffusion(vae, average.text, average.unet)  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
