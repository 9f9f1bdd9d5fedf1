"""What FLUX.1's transformer reads and says, as diffusers' FluxPipeline calls it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from trainer.bases import flows, schedule
from trainer.bases.autoencoding import PLAIN
from trainer.bases.conditioning import Conditioning, Framing
from trainer.bases.family import Config, Functions
from trainer.bases.process import Process
from trainer.bases.text import TextReading

T5_TOKENS = 512
BLOCKS = ("transformer_blocks", "single_transformer_blocks")
DEFAULT = (
    *("attn.to_q", "attn.to_k", "attn.to_v", "attn.to_out.0"),
    *("attn.add_q_proj", "attn.add_k_proj", "attn.add_v_proj", "attn.to_add_out"),
    *("ff.net.0.proj", "ff.net.2", "ff_context.net.0.proj", "ff_context.net.2"),
)
"""diffusers' train_dreambooth_lora_flux adapts these."""
SINGLE = ("proj_mlp", "proj_out")
"""The feed-forward layers of single blocks, which it leaves out."""


def read(reading: TextReading) -> Conditioning:
    """T5's last state; CLIP's pooled state."""
    clip, long = reading.readers["text_encoder"], reading.readers["text_encoder_2"]
    tokens = flows.padded(clip, reading.captions, clip.tokenizer.model_max_length)
    pooled: Tensor = clip.read(tokens.input_ids).pooler_output
    return Conditioning(flows.last_state(long, flows.padded(long, reading.captions, T5_TOKENS)), pooled)


def predict(
    network: Any, inputs: Tensor, timesteps: Tensor, text: Conditioning, numbers: Tensor | None
) -> Tensor:
    """The direction from picture to noise, of latents in patches of two by two."""
    rows, height, width = len(inputs), inputs.shape[-2] // 2, inputs.shape[-1] // 2
    said: Tensor = network(
        hidden_states=flows.patched(inputs),
        timestep=timesteps.expand(rows).to(inputs.dtype) / 1000,
        guidance=None if numbers is None else numbers[:, 0],
        pooled_projections=text.pooled,
        encoder_hidden_states=text.embeddings,
        txt_ids=torch.zeros(text.embeddings.shape[1], 3, device=inputs.device, dtype=inputs.dtype),
        img_ids=flows.places(height, width).to(inputs),
        return_dict=False,
    )[0]
    return flows.unpatched(said, height, width)


def numbers(config: Config, framing: Framing, guidance: float) -> tuple[float, ...]:
    """The guidance, where a base reads one: dev does, schnell does not."""
    return (guidance,) if config.get("guidance_embeds") else ()


def text(config: Config, windows: int) -> tuple[tuple[int, int], int]:
    """T5's tokens, and CLIP's pooled text."""
    return (T5_TOKENS, config["joint_attention_dim"]), config["pooled_projection_dim"]


def process(configs: Path, prediction: str, terminal: bool) -> tuple[dict[str, Any], Process]:
    """As diffusers' train_dreambooth_lora_flux trains: uniform, though pictures are rendered with a shift."""
    return schedule.flow(configs, shifts_training=False)


FUNCTIONS = Functions(
    read=read,
    predict=predict,
    numbers=numbers,
    targets=lambda network: flows.linear_in(network, BLOCKS, DEFAULT),
    beside=lambda network: flows.linear_in(network, BLOCKS[1:], SINGLE),
    stored=lambda network: flows.linear_in(network, BLOCKS),
    patch=lambda config: 2,
    side=lambda config: 2,
    text=text,
    process=process,
    set_timesteps=flows.linear_timesteps,
    latents=PLAIN,
)
