"""What Stable Diffusion's U-Nets have in common: SD 1.x, SD 2.x and SDXL (pure but for ``process``, which reads)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from trainer.adapters.targets import convolution_targets, unet_targets
from trainer.bases import schedule
from trainer.bases.autoencoding import PLAIN
from trainer.bases.conditioning import Conditioning, Framing
from trainer.bases.family import Config, Functions
from trainer.bases.process import Process
from trainer.bases.prompts import WINDOW
from trainer.bases.text import TextReading, final_states


def predict(
    unet: Any, inputs: Tensor, timesteps: Tensor, text: Conditioning, numbers: Tensor | None
) -> Tensor:
    """What a UNet2DConditionModel says of noisy latents (n, 4, h, w): the noise or v, same shape."""
    added = None if numbers is None else {"text_embeds": text.pooled, "time_ids": numbers}
    said: Tensor = unet(
        inputs.to(memory_format=torch.channels_last),
        timesteps,
        encoder_hidden_states=text.embeddings,
        added_cond_kwargs=added,
    ).sample
    return said


def numbers(config: Config, framing: Framing, guidance: float) -> tuple[float, ...]:
    """SDXL's sizes of a picture; nothing elsewhere."""
    return framing.time_ids if config.get("addition_embed_type") == "text_time" else ()


def side(config: Config) -> int:
    """Every level halves evenly."""
    return 1 << (len(config["block_out_channels"]) - 1)


def text(config: Config, windows: int) -> tuple[tuple[int, int], int]:
    """Windows of 75 tokens with a start and an end token; SDXL's pooled text beside its six sizes."""
    pooled = 0
    if config.get("addition_embed_type") == "text_time":
        pooled = config["projection_class_embeddings_input_dim"] - 6 * config["addition_time_embed_dim"]
    return (windows * WINDOW + 2, config["cross_attention_dim"]), pooled


def process(configs: Path, prediction: str, terminal: bool) -> tuple[dict[str, Any], Process]:
    """The noise schedule of a diffusion, read from a scheduler's folder."""
    return schedule.diffusion(configs, prediction, terminal)


def set_timesteps(solver: Any, steps: int, patches: int) -> None:
    """Every solver knows how."""
    solver.set_timesteps(steps)


def functions(read: Callable[[TextReading], Conditioning]) -> Functions:
    """Of a U-Net whose text is read so."""
    return Functions(
        read=read,
        predict=predict,
        numbers=numbers,
        targets=unet_targets,
        beside=convolution_targets,
        stored=unet_targets,
        patch=lambda config: 1,
        side=side,
        text=text,
        process=process,
        set_timesteps=set_timesteps,
        latents=PLAIN,
    )


FUNCTIONS = functions(final_states)
"""Of SD 1.x and 2.x."""
