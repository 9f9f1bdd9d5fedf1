"""What Chroma's transformer reads and says, as diffusers' ChromaPipeline calls it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from trainer.bases import flows, schedule
from trainer.bases.autoencoding import PLAIN
from trainer.bases.conditioning import Conditioning
from trainer.bases.families.flux.network import BLOCKS, DEFAULT, SINGLE
from trainer.bases.family import Config, Functions
from trainer.bases.process import Process
from trainer.bases.text import TextReading

TOKENS = 512


def read(reading: TextReading) -> Conditioning:
    """T5's last state, padding hidden from it; of the padding, the transformer reads the first token."""
    (reader,) = reading.readers.values()
    tokens = flows.padded(reader, reading.captions, TOKENS)
    states = flows.last_state(reader, tokens, mask=True)
    lengths = tokens.attention_mask.to(states.device).sum(dim=1, keepdim=True)
    return flows.own_tokens(states, torch.arange(TOKENS, device=states.device) <= lengths)


def predict(
    network: Any, inputs: Tensor, timesteps: Tensor, text: Conditioning, numbers: Tensor | None
) -> Tensor:
    """The direction from picture to noise, of latents in patches of two by two.

    The mask says what is hidden. diffusers' pipeline (0.42) hands it over as numbers, which are added to the scores
    and hide nothing; the reference code and ComfyUI hide padding.
    """
    rows, height, width = len(inputs), inputs.shape[-2] // 2, inputs.shape[-1] // 2
    mask = text.mask
    if mask is not None:
        mask = torch.cat([mask, mask.new_ones(rows, height * width)], dim=1)
    with _masked_again(network, mask):
        said: Tensor = network(
            hidden_states=flows.patched(inputs),
            timestep=timesteps.expand(rows).to(inputs.dtype) / 1000,
            encoder_hidden_states=text.embeddings,
            txt_ids=torch.zeros(text.embeddings.shape[1], 3, device=inputs.device, dtype=inputs.dtype),
            img_ids=flows.places(height, width).to(inputs),
            attention_mask=mask,
            return_dict=False,
        )[0]
    return flows.unpatched(said, height, width)


@contextmanager
def _masked_again(network: Any, mask: Tensor | None) -> Iterator[None]:
    """Single blocks whose activations are computed again get the mask, which the network (0.42) forgets then."""
    call: Callable[..., Any] | None = getattr(network, "_gradient_checkpointing_func", None)
    if call is None:
        yield
        return

    def checkpointed(block: Any, *inputs: Any) -> Any:
        return call(block, *inputs, mask) if len(inputs) == 3 else call(block, *inputs)

    network._gradient_checkpointing_func = checkpointed
    try:
        yield
    finally:
        network._gradient_checkpointing_func = call


def text(config: Config, windows: int) -> tuple[tuple[int, int], int]:
    """T5's tokens; nothing is pooled."""
    return (TOKENS, config["joint_attention_dim"]), 0


def process(configs: Path, prediction: str, terminal: bool) -> tuple[dict[str, Any], Process]:
    """Uniform, as its sibling FLUX.1 is trained."""
    return schedule.flow(configs, shifts_training=False)


FUNCTIONS = Functions(
    read=read,
    predict=predict,
    numbers=flows.no_numbers,
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
