"""What SD 3's transformer reads and says, as diffusers' StableDiffusion3Pipeline calls it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from trainer.bases import flows, schedule
from trainer.bases.autoencoding import PLAIN
from trainer.bases.conditioning import Conditioning
from trainer.bases.family import Config, Functions
from trainer.bases.process import Process
from trainer.bases.text import TextReading
from trainer.bases.tokenizer import TOKENS

T5_TOKENS = 256
"""Of T5's part of the text; where there is no T5, as many zeros as CLIP reads tokens stand for it, as in sd-scripts."""
BLOCKS = ("transformer_blocks",)
ATTENTION = (
    *("attn.to_q", "attn.to_k", "attn.to_v", "attn.to_out.0"),
    *("attn.add_q_proj", "attn.add_k_proj", "attn.add_v_proj", "attn.to_add_out"),
)
"""diffusers' train_dreambooth_lora_sd3 adapts these."""
FEED_FORWARD = (
    *("attn2.to_q", "attn2.to_k", "attn2.to_v", "attn2.to_out.0"),
    *("ff.net.0.proj", "ff.net.2", "ff_context.net.0.proj", "ff_context.net.2"),
)


def read(reading: TextReading) -> Conditioning:
    """The penultimate states of both CLIPs side by side, then T5's behind them; both CLIPs' projections are pooled."""
    clips = [reading.readers[part] for part in ("text_encoder", "text_encoder_2")]
    length: int = clips[0].tokenizer.model_max_length
    outputs = [clip.read(flows.padded(clip, reading.captions, length).input_ids) for clip in clips]
    states = torch.cat([output.hidden_states[-2] for output in outputs], dim=-1)
    width: int = reading.network["joint_attention_dim"]
    states = pad(states, (0, width - states.shape[-1]))
    if t5 := reading.readers.get("text_encoder_3"):
        long = flows.last_state(t5, flows.padded(t5, reading.captions, T5_TOKENS)).to(states)
    else:
        long = torch.zeros_like(states)
    return Conditioning(
        torch.cat([states, long], dim=-2), torch.cat([output.text_embeds for output in outputs], dim=-1)
    )


def predict(
    network: Any, inputs: Tensor, timesteps: Tensor, text: Conditioning, numbers: Tensor | None
) -> Tensor:
    """The direction from picture to noise; a timestep is 1000 sigma."""
    said: Tensor = network(
        hidden_states=inputs,
        timestep=timesteps.expand(len(inputs)),
        encoder_hidden_states=text.embeddings,
        pooled_projections=text.pooled,
        return_dict=False,
    )[0]
    return said


def text(config: Config, windows: int) -> tuple[tuple[int, int], int]:
    """CLIP's 77 tokens and T5's."""
    return (TOKENS + T5_TOKENS, config["joint_attention_dim"]), config["pooled_projection_dim"]


def process(configs: Path, prediction: str, terminal: bool) -> tuple[dict[str, Any], Process]:
    """As diffusers' train_dreambooth_lora_sd3 trains: logit-normal, then the scheduler's shift."""
    return schedule.flow(configs, density="logit_normal")


FUNCTIONS = Functions(
    read=read,
    predict=predict,
    numbers=flows.no_numbers,
    targets=lambda network: flows.linear_in(network, BLOCKS, ATTENTION),
    beside=lambda network: flows.linear_in(network, BLOCKS, FEED_FORWARD),
    stored=lambda network: flows.linear_in(network, BLOCKS),
    patch=lambda config: int(config["patch_size"]),
    side=lambda config: int(config["patch_size"]),
    text=text,
    process=process,
    set_timesteps=flows.set_timesteps,
    latents=PLAIN,
)
