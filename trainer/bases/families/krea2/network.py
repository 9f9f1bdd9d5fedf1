"""What Krea 2's transformer reads and says, as diffusers' Krea2Pipeline calls it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from trainer.bases import flows, schedule
from trainer.bases.conditioning import Conditioning
from trainer.bases.family import Config, Functions
from trainer.bases.one_frame import ONE_FRAME
from trainer.bases.process import Process
from trainer.bases.text import TextReading

TOKENS, DROPPED, LAST = 512, 34, 5
"""Of a caption with what follows it; of what goes before, whose states are not read; of what follows."""
BEFORE = (
    "<|im_start|>system\nDescribe the image by detailing the color, shape, size, texture, quantity, text, spatial "
    "relationships of the objects and background:<|im_end|>\n<|im_start|>user\n"
)
AFTER = "<|im_end|>\n<|im_start|>assistant\n"
LAYERS = tuple(range(2, 36, 3))
"""Of Qwen3-VL, whose states lie side by side, where a pipeline names none."""
SHIFT = 1.15
"""Of the turbo's timesteps, whatever the resolution: a logarithm."""
BLOCKS = ("transformer_blocks", "text_fusion")
AROUND = ("img_in", "final_layer", "txt_in", "time_embed", "time_mod_proj")
INSIDE = ("to_q", "to_k", "to_v", "to_out.0", "to_gate", "ff.up", "ff.down")
OUTSIDE = (
    *("text_fusion.projector", "img_in", "final_layer.linear", "txt_in.linear_1", "txt_in.linear_2"),
    *("time_embed.linear_1", "time_embed.linear_2", "time_mod_proj"),
)
"""Its makers recommend both, and diffusers' train_dreambooth_lora_krea2 adapts them."""
REST = ("ff.gate",)


def read(reading: TextReading) -> Conditioning:
    """States of many layers of Qwen3-VL, without those of the template's beginning; padding stands before its end."""
    (reader,) = reading.readers.values()
    layers = reading.network.get("text_encoder_select_layers") or LAYERS
    captions = flows.padded(reader, [BEFORE + each for each in reading.captions], DROPPED + TOKENS - LAST)
    states, mask = flows.hidden_states(reader, flows.ended(reader, captions, AFTER), skips_padding=True)
    return flows.own_tokens(
        torch.cat([states[layer][:, DROPPED:] for layer in layers], dim=-1), mask[:, DROPPED:]
    )


def predict(
    network: Any, inputs: Tensor, timesteps: Tensor, text: Conditioning, numbers: Tensor | None
) -> Tensor:
    """The direction from picture to noise, of latents in patches of two by two; text has no place of its own."""
    rows, height, width = len(inputs), inputs.shape[-2] // 2, inputs.shape[-1] // 2
    places = flows.places(height, width)
    said: Tensor = network(
        hidden_states=flows.patched(inputs),
        timestep=timesteps.expand(rows).to(inputs.dtype) / 1000,
        encoder_hidden_states=text.embeddings.view(
            *text.embeddings.shape[:-1], network.config.num_text_layers, -1
        ),
        encoder_attention_mask=text.mask,
        position_ids=torch.cat([places.new_zeros(text.embeddings.shape[1], 3), places]).to(inputs.device),
        return_dict=False,
    )[0]
    return flows.unpatched(said, height, width)


def text(config: Config, windows: int) -> tuple[tuple[int, int], int]:
    """Qwen3-VL's tokens, each of many layers; nothing is pooled."""
    return (TOKENS, config["num_text_layers"] * config["text_hidden_dim"]), 0


def process(configs: Path, prediction: str, terminal: bool) -> tuple[dict[str, Any], Process]:
    """As diffusers' train_dreambooth_lora_krea2 trains: uniform, though pictures are rendered with a shift."""
    config, found = schedule.flow(configs, shifts_training=False)
    if json.loads((configs / "model_index.json").read_text()).get("is_distilled"):
        config |= {"base_shift": SHIFT, "max_shift": SHIFT}
        found = replace(found, shift=schedule.shift_of(config))
    return config, found


FUNCTIONS = Functions(
    read=read,
    predict=predict,
    numbers=flows.no_numbers,
    targets=lambda network: flows.linear_in(network, BLOCKS + AROUND, INSIDE + OUTSIDE),
    beside=lambda network: flows.linear_in(network, BLOCKS, REST),
    stored=lambda network: flows.linear_in(network, BLOCKS, INSIDE + REST),
    patch=lambda config: 2,
    side=lambda config: 2,
    text=text,
    process=process,
    set_timesteps=flows.linear_timesteps,
    latents=ONE_FRAME,
)
