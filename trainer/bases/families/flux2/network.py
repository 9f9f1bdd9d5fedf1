"""What FLUX.2 Klein's transformer reads and says, as diffusers' Flux2KleinPipeline calls it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from trainer.bases import flows, schedule
from trainer.bases.autoencoding import Codec, dtype_of, vae_scale
from trainer.bases.conditioning import Conditioning
from trainer.bases.family import Config, Functions
from trainer.bases.process import Process
from trainer.bases.text import TextReading

TOKENS = 512
"""Of a caption in its template, filled up."""
LAYERS = (9, 18, 27)
"""Of Qwen3, whose states stand behind each other."""
BLOCKS = ("transformer_blocks", "single_transformer_blocks")
DEFAULT = (
    *("attn.to_q", "attn.to_k", "attn.to_v", "attn.to_out.0"),
    *("attn.to_qkv_mlp_proj", "attn.to_out"),
)
"""diffusers' train_dreambooth_lora_flux2_klein adapts these, in blocks of both kinds."""
REST = (
    *("attn.add_q_proj", "attn.add_k_proj", "attn.add_v_proj", "attn.to_add_out"),
    *("ff.linear_in", "ff.linear_out", "ff_context.linear_in", "ff_context.linear_out"),
)


def read(reading: TextReading) -> Conditioning:
    """Three hidden states of Qwen3, behind each other, of a caption as a user's message; padding is read, too."""
    (reader,) = reading.readers.values()
    asked = [flows.asked(reader.tokenizer, caption, thinking=False) for caption in reading.captions]
    states, _ = flows.hidden_states(reader, flows.padded(reader, asked, TOKENS))
    return Conditioning(torch.cat([states[layer] for layer in LAYERS], dim=-1))


def predict(
    network: Any, inputs: Tensor, timesteps: Tensor, text: Conditioning, numbers: Tensor | None
) -> Tensor:
    """The direction from picture to noise; latents are patches already."""
    rows, _, height, width = inputs.shape
    where = inputs.device
    ids = [torch.arange(1), torch.arange(height), torch.arange(width), torch.arange(1)]
    words = [torch.arange(1)] * 3 + [torch.arange(text.embeddings.shape[1])]
    said: Tensor = network(
        hidden_states=inputs.flatten(2).mT,
        timestep=timesteps.expand(rows).to(inputs.dtype) / 1000,
        guidance=None,
        encoder_hidden_states=text.embeddings,
        txt_ids=torch.cartesian_prod(*words).to(where),
        img_ids=torch.cartesian_prod(*ids).to(where),
        return_dict=False,
    )[0]
    return said.mT.reshape(inputs.shape)


def text(config: Config, windows: int) -> tuple[tuple[int, int], int]:
    """Qwen3's tokens; nothing is pooled."""
    return (TOKENS, config["joint_attention_dim"]), 0


def process(configs: Path, prediction: str, terminal: bool) -> tuple[dict[str, Any], Process]:
    """As diffusers' train_dreambooth_lora_flux2_klein trains: uniform, though pictures are rendered with a shift."""
    return schedule.flow(configs, shifts_training=False)


def set_timesteps(solver: Any, steps: int, patches: int) -> None:
    """sigma from 1 to 1 / steps, shifted by resolution and number of steps as its makers found good."""
    from diffusers.pipelines.flux2.pipeline_flux2_klein import compute_empirical_mu

    sigmas = [1 - step / steps for step in range(steps)]
    solver.set_timesteps(sigmas=sigmas, mu=compute_empirical_mu(patches, steps))


def encode(vae: Any, pixels: Tensor) -> Tensor:
    """Mean latents, two by two, channel by channel brought to mean 0 and variance 1 by the VAE's own statistics."""
    mean: Tensor = vae.encode(pixels).latent_dist.mode()
    rows, channels, height, width = mean.shape
    parts = mean.view(rows, channels, height // 2, 2, width // 2, 2).permute(0, 1, 3, 5, 2, 4)
    centre, spread = _statistics(vae, mean)
    return (parts.reshape(rows, 4 * channels, height // 2, width // 2) - centre) / spread


def decode(vae: Any, latents: Tensor) -> Tensor:
    """The inverse, then the VAE's decoder."""
    centre, spread = _statistics(vae, latents)
    plain = latents * spread + centre
    rows, depth, height, width = plain.shape
    parts = plain.view(rows, depth // 4, 2, 2, height, width).permute(0, 1, 4, 2, 5, 3)
    whole = parts.reshape(rows, depth // 4, 2 * height, 2 * width)
    found: Tensor = vae.decode(whole.to(dtype_of(vae.decoder))).sample
    return found


def _statistics(vae: Any, like: Tensor) -> tuple[Tensor, Tensor]:
    centre, variance = (each.view(1, -1, 1, 1).to(like) for each in (vae.bn.running_mean, vae.bn.running_var))
    return centre, (variance + vae.config.batch_norm_eps).sqrt()


FUNCTIONS = Functions(
    read=read,
    predict=predict,
    numbers=flows.no_numbers,
    targets=lambda network: flows.linear_in(network, BLOCKS, DEFAULT),
    beside=lambda network: flows.linear_in(network, BLOCKS, REST),
    stored=lambda network: flows.linear_in(network, BLOCKS),
    patch=lambda config: 1,
    side=lambda config: 1,
    text=text,
    process=process,
    set_timesteps=set_timesteps,
    latents=Codec(encode, decode, lambda config: 2 * vae_scale(config), patch=2),
)
