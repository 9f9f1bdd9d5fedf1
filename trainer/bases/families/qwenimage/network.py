"""What Qwen-Image's transformer reads and says, as diffusers' QwenImagePipeline calls it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor

from trainer.bases import flows, schedule
from trainer.bases.conditioning import Conditioning
from trainer.bases.family import Config, Functions
from trainer.bases.one_frame import ONE_FRAME
from trainer.bases.process import Process
from trainer.bases.text import TextReading

TOKENS, DROPPED = 512, 34
"""Of a caption, at most; of its template, whose first states are not read."""
TEMPLATE = (
    "<|im_start|>system\nDescribe the image by detailing the color, shape, size, texture, quantity, text, spatial "
    "relationships of the objects and background:<|im_end|>\n<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n"
)
"""In which the base was trained to meet captions."""
BLOCKS = ("transformer_blocks",)
ATTENTION = ("attn.to_q", "attn.to_k", "attn.to_v", "attn.to_out.0")
"""diffusers' train_dreambooth_lora_qwen_image adapts these."""
REST = (
    *("attn.add_q_proj", "attn.add_k_proj", "attn.add_v_proj", "attn.to_add_out"),
    *("img_mlp.net.0.proj", "img_mlp.net.2", "txt_mlp.net.0.proj", "txt_mlp.net.2"),
)


def read(reading: TextReading) -> Conditioning:
    """The last state of Qwen2.5-VL behind the template's beginning; a caption's own tokens first, then none."""
    (reader,) = reading.readers.values()
    asked = [TEMPLATE.format(caption) for caption in reading.captions]
    states, mask = flows.hidden_states(reader, flows.padded(reader, asked, TOKENS + DROPPED))
    own = flows.own_tokens(states[-1], mask)
    assert own.mask is not None
    return Conditioning(own.embeddings[:, DROPPED:], mask=own.mask[:, DROPPED:])


def predict(
    network: Any, inputs: Tensor, timesteps: Tensor, text: Conditioning, numbers: Tensor | None
) -> Tensor:
    """The direction from picture to noise, of latents in patches of two by two."""
    rows, height, width = len(inputs), inputs.shape[-2] // 2, inputs.shape[-1] // 2
    said: Tensor = network(
        hidden_states=flows.patched(inputs),
        timestep=timesteps.expand(rows).to(inputs.dtype) / 1000,
        encoder_hidden_states=text.embeddings,
        encoder_hidden_states_mask=text.mask,
        img_shapes=[[(1, height, width)]] * rows,
        return_dict=False,
    )[0]
    return flows.unpatched(said, height, width)


def guided(with_text: Tensor, without: Tensor, scale: float) -> Tensor:
    """Classifier-free guidance, each patch brought back to the length that it has with text."""
    height, width = with_text.shape[-2] // 2, with_text.shape[-1] // 2
    plain, both = flows.patched(with_text), flows.patched(without + scale * (with_text - without))
    lengths = [patches.norm(dim=-1, keepdim=True) for patches in (plain, both)]
    return flows.unpatched(both * (lengths[0] / lengths[1]), height, width)


def text(config: Config, windows: int) -> tuple[tuple[int, int], int]:
    """Qwen2.5-VL's tokens; nothing is pooled."""
    return (TOKENS, config["joint_attention_dim"]), 0


def process(configs: Path, prediction: str, terminal: bool) -> tuple[dict[str, Any], Process]:
    """As diffusers' train_dreambooth_lora_qwen_image trains: uniform, though pictures are rendered with a shift."""
    return schedule.flow(configs, shifts_training=False)


FUNCTIONS = Functions(
    read=read,
    predict=predict,
    numbers=flows.no_numbers,
    targets=lambda network: flows.linear_in(network, BLOCKS, ATTENTION),
    beside=lambda network: flows.linear_in(network, BLOCKS, REST),
    stored=lambda network: flows.linear_in(network, BLOCKS),
    patch=lambda config: 2,
    side=lambda config: 2,
    text=text,
    process=process,
    set_timesteps=flows.linear_timesteps,
    latents=ONE_FRAME,
    guided=guided,
)
