"""From diffusers' names to those of single-file checkpoints, written for tests from the two architectures."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

State = dict[str, Tensor]
_RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
_OUTSIDE = {
    "conv_in": "input_blocks.0.0",
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
}
_VAE_ATTENTION = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}


def single_file(folder: Path, target: Path, marks: Mapping[str, Tensor] | None = None) -> Path:
    """Writes a diffusers folder as one checkpoint file."""
    from diffusers import DiffusionPipeline
    from safetensors.torch import save_file

    pipe = DiffusionPipeline.from_pretrained(folder, safety_checker=None)
    tensors: State = dict(marks or {})
    tensors |= prefixed("model.diffusion_model.", unet(pipe.unet))
    tensors |= prefixed("first_stage_model.", vae(pipe.vae))
    if hasattr(pipe, "text_encoder_2"):
        tensors |= prefixed("conditioner.embedders.0.transformer.text_model.", plain(pipe.text_encoder))
        tensors |= prefixed("conditioner.embedders.1.model.", open_clip(pipe.text_encoder_2))
    elif pipe.text_encoder.config.hidden_act == "gelu":
        tensors |= prefixed("cond_stage_model.model.", open_clip(pipe.text_encoder))
    else:
        tensors |= prefixed("cond_stage_model.transformer.text_model.", plain(pipe.text_encoder))
    save_file({name: value.contiguous() for name, value in tensors.items()}, target)
    return target


def prefixed(prefix: str, state: Mapping[str, Tensor]) -> State:
    return {prefix + name: value for name, value in state.items()}


def unet(model: torch.nn.Module) -> State:
    places = dict(_OUTSIDE)
    block = 0
    for i, down in enumerate(model.down_blocks):  # type: ignore[arg-type]
        for j, _ in enumerate(down.resnets):
            block += 1
            places[f"down_blocks.{i}.resnets.{j}"] = f"input_blocks.{block}.0"
            places[f"down_blocks.{i}.attentions.{j}"] = f"input_blocks.{block}.1"
        if down.downsamplers:
            block += 1
            places[f"down_blocks.{i}.downsamplers.0.conv"] = f"input_blocks.{block}.0.op"
    for j in (0, 1):
        places[f"mid_block.resnets.{j}"] = f"middle_block.{2 * j}"
    places["mid_block.attentions.0"] = "middle_block.1"
    block = -1
    for i, up in enumerate(model.up_blocks):  # type: ignore[arg-type]
        for j, _ in enumerate(up.resnets):
            block += 1
            places[f"up_blocks.{i}.resnets.{j}"] = f"output_blocks.{block}.0"
            places[f"up_blocks.{i}.attentions.{j}"] = f"output_blocks.{block}.1"
        if up.upsamplers:
            after = 2 if hasattr(up, "attentions") else 1
            places[f"up_blocks.{i}.upsamplers.0.conv"] = f"output_blocks.{block}.{after}.conv"
    return {moved(name, places, _RESNET): value for name, value in model.state_dict().items()}


def moved(name: str, places: Mapping[str, str], inner: Mapping[str, str]) -> str:
    here = next(place for place in sorted(places, key=len, reverse=True) if name.startswith(place + "."))
    rest = name.removeprefix(here + ".")
    head, _, tail = rest.partition(".")
    if ".resnets." in here:
        rest = f"{inner[head]}.{tail}"
    return f"{places[here]}.{rest}"


def vae(model: torch.nn.Module) -> State:
    levels = len(model.config.block_out_channels)  # type: ignore[union-attr, arg-type]
    found: State = {}
    for name, value in model.state_dict().items():
        for i in range(levels):
            name = name.replace(f"encoder.down_blocks.{i}.resnets.", f"encoder.down.{i}.block.")
            name = name.replace(f"encoder.down_blocks.{i}.downsamplers.0.", f"encoder.down.{i}.downsample.")
            name = name.replace(f"decoder.up_blocks.{i}.resnets.", f"decoder.up.{levels - 1 - i}.block.")
            name = name.replace(
                f"decoder.up_blocks.{i}.upsamplers.0.", f"decoder.up.{levels - 1 - i}.upsample."
            )
        name = name.replace("mid_block.resnets.0.", "mid.block_1.").replace(
            "mid_block.resnets.1.", "mid.block_2."
        )
        if "mid_block.attentions.0." in name:
            side, _, rest = name.partition("mid_block.attentions.0.")
            layer, _, kind = rest.rpartition(".")
            name = f"{side}mid.attn_1.{_VAE_ATTENTION[layer]}.{kind}"
            value = value[:, :, None, None] if value.dim() == 2 else value
        found[name.replace("conv_shortcut", "nin_shortcut").replace("conv_norm_out", "norm_out")] = value
    return found


def plain(model: torch.nn.Module) -> State:
    return {name.removeprefix("text_model."): value for name, value in model.state_dict().items()}


def open_clip(model: torch.nn.Module) -> State:
    state = plain(model)
    width = state["final_layer_norm.weight"].shape[0]
    found: State = {
        "token_embedding.weight": state["embeddings.token_embedding.weight"],
        "positional_embedding": state["embeddings.position_embedding.weight"],
        "ln_final.weight": state["final_layer_norm.weight"],
        "ln_final.bias": state["final_layer_norm.bias"],
        "text_projection": state["text_projection.weight"].T
        if "text_projection.weight" in state
        else torch.eye(width),
    }
    for i in range(model.config.num_hidden_layers):  # type: ignore[union-attr, arg-type]
        ours, theirs = f"encoder.layers.{i}.", f"transformer.resblocks.{i}."
        names = {"layer_norm1": "ln_1", "layer_norm2": "ln_2", "mlp.fc1": "mlp.c_fc", "mlp.fc2": "mlp.c_proj"}
        for kind in ("weight", "bias"):
            parts = [state[f"{ours}self_attn.{x}_proj.{kind}"] for x in "qkv"]
            found[f"{theirs}attn.in_proj_{kind}"] = torch.cat(parts)
            found[f"{theirs}attn.out_proj.{kind}"] = state[f"{ours}self_attn.out_proj.{kind}"]
            for name, other in names.items():
                found[f"{theirs}{other}.{kind}"] = state[f"{ours}{name}.{kind}"]
    return found
