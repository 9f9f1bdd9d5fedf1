"""Kohya's keys, as A1111, Forge and ComfyUI read them (pure)."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

import torch
from torch import Tensor

from trainer.bases.family import DENOISER, Family
from trainer.lora_files.layers import LoraFileError, LowRank

_RESNET = {
    "norm1": "in_layers.0",
    "norm2": "out_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
_OUTSIDE = {
    "conv_in": "input_blocks.0.0",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
}
_BLOCK = re.compile(r"(down_blocks|up_blocks)\.(\d+)\.(\w+?)\.(\d+)\.(.+)|mid_block\.(\w+?)\.(\d+)\.(.+)")


@dataclass(frozen=True, slots=True)
class Names:
    """How kohya calls the layers of a base model.

    SD 1.x and 2.x keep diffusers' block names; SDXL has those of Stability's own code ("SGM").
    """

    family: Family
    layers_per_block: int = 2
    """Of a U-Net."""
    attending: tuple[bool, ...] = ()
    """Which up blocks have attention: their upsampler comes third, else second."""

    @classmethod
    def of(cls, family: Family, unet_config: Any) -> Self:
        """The names that fit a denoiser's configuration."""
        layers = unet_config.get("layers_per_block", 2)
        attending = tuple("Attn" in kind for kind in unet_config.get("up_block_types", ()))
        return cls(family, layers if isinstance(layers, int) else layers[0], attending)

    def stem(self, layer: str) -> str:
        """Kohya's name of a bank layer ``<part>.<path>``.

        Raises:
            LoraFileError: there is none.
        """
        part, _, path = layer.partition(".")
        if part != DENOISER:
            prefixes = {encoder.part: encoder.kohya_prefix for encoder in self.family.trained_encoders}
            return prefixes[part] + path.removeprefix("text_model.").replace(".", "_")
        name = self.sgm(path) if self.family.lora.sgm_blocks else path
        if name is None:
            raise LoraFileError(f"kohya's format has no name for the layer {path!r}")
        return self.family.lora.prefix + name.replace(".", "_")

    def folder(self, part: str) -> str:
        """What diffusers and PEFT call a part: its folder in diffusers' layout."""
        return self.family.denoiser.part if part == DENOISER else part

    def part(self, folder: str) -> str:
        """The inverse."""
        return DENOISER if folder == self.family.denoiser.part else folder

    def sgm(self, path: str) -> str | None:
        """What Stability's own code calls a layer of the U-Net; None if it has no such layer."""
        if path in _OUTSIDE:
            return _OUTSIDE[path]
        match = _BLOCK.fullmatch(path)
        if match is None:
            return None
        side, block, kind, place, rest, middle, middle_place, middle_rest = match.groups()
        if middle is not None:
            where = 1 if middle == "attentions" else 2 * int(middle_place)
            return f"middle_block.{where}.{_inner(middle, middle_rest)}"
        row = int(block) * (self.layers_per_block + 1) + int(place)
        if side == "down_blocks":
            if kind == "downsamplers":
                return f"input_blocks.{(int(block) + 1) * (self.layers_per_block + 1)}.0.op"
            return f"input_blocks.{row + 1}.{int(kind == 'attentions')}.{_inner(kind, rest)}"
        if kind == "upsamplers":
            last = int(block) * (self.layers_per_block + 1) + self.layers_per_block
            return f"output_blocks.{last}.{1 + self.attending[int(block)]}.conv"
        return f"output_blocks.{row}.{int(kind == 'attentions')}.{_inner(kind, rest)}"


def write(layers: Mapping[str, LowRank], names: Names) -> dict[str, Tensor]:
    """A LoRA's tensors under kohya's keys.

    diffusers' loader (0.42) loses the alphas of attention projections that differ from the commonest of their model.
    Where it would, all layers of that model are written with the commonest, and B makes up for it.
    """
    tensors: dict[str, Tensor] = {}
    for name, layer in _evened(layers).items():
        stem = names.stem(name)
        tensors[f"{stem}.lora_down.weight"] = layer.down
        tensors[f"{stem}.lora_up.weight"] = layer.up
        tensors[f"{stem}.alpha"] = torch.tensor(float(layer.alpha))
        if layer.magnitude is not None:
            tensors[f"{stem}.dora_scale"] = layer.magnitude.view(-1, *(1 for _ in layer.down.shape[1:]))
    return tensors


def _evened(layers: Mapping[str, LowRank]) -> Mapping[str, LowRank]:
    """The same deltas, with one alpha in each model whose attention layers would not keep their own."""
    written = dict(layers)
    for part in dict.fromkeys(name.partition(".")[0] for name in layers):
        members = {name: layer for name, layer in layers.items() if name.startswith(f"{part}.")}
        counts = Counter(layer.alpha for layer in members.values()).most_common(2)
        common, leads = counts[0][0], len(counts) == 1 or counts[0][1] > counts[1][1]
        attending = (layer for name, layer in members.items() if "attentions" in name.split("."))
        if leads and all(layer.alpha == common for layer in attending):
            continue
        for name, layer in members.items():
            written[name] = replace(layer, up=layer.up * (layer.alpha / common), alpha=common)
    return written


def _inner(kind: str, rest: str) -> str:
    if kind == "attentions":
        return rest
    return _RESNET[rest]
