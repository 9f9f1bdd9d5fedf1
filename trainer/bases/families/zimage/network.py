"""What Z-Image's transformer reads and says, as diffusers' ZImagePipeline calls it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from trainer.bases import flows, schedule
from trainer.bases.autoencoding import PLAIN
from trainer.bases.conditioning import Conditioning
from trainer.bases.family import Config, Functions
from trainer.bases.process import Process
from trainer.bases.text import TextReading

TOKENS = 512
"""Of a caption in its template, at most."""
BLOCKS = ("layers", "noise_refiner", "context_refiner")
ATTENTION = ("attention.to_q", "attention.to_k", "attention.to_v", "attention.to_out.0")
"""diffusers' train_dreambooth_lora_z_image adapts these."""
FEED_FORWARD = ("feed_forward.w1", "feed_forward.w2", "feed_forward.w3")


def read(reading: TextReading) -> Conditioning:
    """The penultimate state of Qwen3, of a caption as a user's message; its own tokens first, then none."""
    (reader,) = reading.readers.values()
    tokens = flows.padded(
        reader, [flows.asked(reader.tokenizer, each, thinking=True) for each in reading.captions], TOKENS
    )
    states, mask = flows.hidden_states(reader, tokens)
    return flows.own_tokens(states[-2], mask)


def predict(
    network: Any, inputs: Tensor, timesteps: Tensor, text: Conditioning, numbers: Tensor | None
) -> Tensor:
    """The direction from picture to noise; the network itself counts time from noise and says the opposite."""
    said = network(
        list(inputs.unsqueeze(2).unbind()),
        ((1000 - timesteps.expand(len(inputs))) / 1000).to(torch.promote_types(inputs.dtype, torch.float32)),
        flows.split(text),
        return_dict=False,
    )[0]
    return -torch.stack(said).squeeze(2)


def text(config: Config, windows: int) -> tuple[tuple[int, int], int]:
    """Qwen3's tokens; nothing is pooled."""
    return (TOKENS, config["cap_feat_dim"]), 0


def process(configs: Path, prediction: str, terminal: bool) -> tuple[dict[str, Any], Process]:
    """As diffusers' train_dreambooth_lora_z_image trains: uniform, then the scheduler's shift."""
    return schedule.flow(configs)


FUNCTIONS = Functions(
    read=read,
    predict=predict,
    numbers=flows.no_numbers,
    targets=lambda network: flows.linear_in(network, BLOCKS, ATTENTION),
    beside=lambda network: flows.linear_in(network, BLOCKS, FEED_FORWARD),
    stored=lambda network: flows.linear_in(network, BLOCKS),
    patch=lambda config: int(config["all_patch_size"][0]),
    side=lambda config: int(config["all_patch_size"][0]),
    text=text,
    process=process,
    set_timesteps=flows.linear_timesteps,
    latents=PLAIN,
)
