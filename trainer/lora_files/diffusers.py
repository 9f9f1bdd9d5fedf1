"""The layout of diffusers' ``save_lora_weights`` (pure).

It has no place for alpha but its metadata, which diffusers reads since 0.34 and nobody else does. So alpha is the rank,
and B holds the scale.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from torch import Tensor

from trainer.lora_files import peft
from trainer.lora_files.layers import LowRank

_MAGNITUDE = "lora_magnitude_vector.weight"
"""With the last word, which transformers' loader does not add, so that text encoders would lose the tensor."""
METADATA_KEY = "lora_adapter_metadata"


def write(layers: Mapping[str, LowRank]) -> tuple[dict[str, Tensor], dict[str, str]]:
    """A LoRA's tensors, and the metadata without which diffusers would take one alpha for layers of all ranks."""
    tensors: dict[str, Tensor] = {}
    settings: dict[str, object] = {}
    for part, members in peft.by_part(layers).items():
        scaled = {path: _scaled(layer) for path, layer in members.items()}
        for path, layer in scaled.items():
            tensors |= peft.tensors(f"{part}.{_written(part, path)}", layer, _MAGNITUDE)
        settings |= {f"{part}.{key}": value for key, value in peft.config(scaled).items()}
    return tensors, {METADATA_KEY: json.dumps(settings, sort_keys=True)}


def settings(metadata: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """The arguments of ``peft.LoraConfig`` that a file's metadata hold, by part.

    Raises:
        LoraFileError: they are no JSON table.
    """
    parts: dict[str, dict[str, Any]] = {}
    for key, value in peft.settings(metadata.get(METADATA_KEY, "{}")).items():
        part, _, name = key.partition(".")
        parts.setdefault(part, {})[name] = value
    return parts


def _scaled(layer: LowRank) -> LowRank:
    return replace(layer, up=layer.up * layer.scale, alpha=float(layer.rank))


def _written(part: str, path: str) -> str:
    """With the ``text_model.`` that older transformers need and newer diffusers takes away."""
    return path if part == "unet" or path.startswith("text_model.") else f"text_model.{path}"
