"""The layout of diffusers' ``save_lora_weights`` (pure).

It has no place for alpha but its metadata, which diffusers reads since 0.34 and nobody else does; and without metadata
older versions give all layers of a model the rank of the first as their alpha. So alpha is the rank, B holds the
scale, and all layers of a model have the largest of their ranks, filled up with zeros: no reader needs the metadata.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from trainer.lora_files import peft, peft_settings
from trainer.lora_files.layers import LowRank

if TYPE_CHECKING:
    from peft import PeftConfig

_MAGNITUDE = "lora_magnitude_vector.weight"
"""With the last word, which transformers' loader does not add, so that text encoders would lose the tensor."""
METADATA_KEY = "lora_adapter_metadata"
_FOLDERS = {"peft_type", "inference_mode", "base_model_name_or_path"}
"""What PEFT says in its folders alone."""


def write(layers: Mapping[str, LowRank]) -> tuple[dict[str, Tensor], dict[str, str]]:
    """A LoRA's tensors, and the metadata that diffusers writes beside them."""
    tensors: dict[str, Tensor] = {}
    settings: dict[str, object] = {}
    for part, members in peft.by_part(layers).items():
        rank = max(layer.rank for layer in members.values())
        scaled = {path: _alone(layer, rank) for path, layer in members.items()}
        for path, layer in scaled.items():
            tensors |= peft.tensors(f"{part}.{_written(part, path)}", layer, _MAGNITUDE)
        settings |= {
            f"{part}.{key}": value for key, value in peft.config(scaled).items() if key not in _FOLDERS
        }
    return tensors, {METADATA_KEY: json.dumps(settings, sort_keys=True)}


def settings(metadata: Mapping[str, str]) -> dict[str, PeftConfig]:
    """The ``peft.LoraConfig`` that a file's metadata hold, by part.

    Raises:
        LoraFileError: they are no JSON table, or PEFT does not take them.
    """
    parts: dict[str, dict[str, Any]] = {}
    for key, value in peft_settings.table(metadata.get(METADATA_KEY, "{}")).items():
        part, _, name = key.partition(".")
        parts.setdefault(part, {})[name] = value
    return {part: peft_settings.parsed(table) for part, table in parts.items()}


def _alone(layer: LowRank, rank: int) -> LowRank:
    """The same difference without alpha, at a larger rank."""
    missing = rank - layer.rank
    down = torch.cat([layer.down, layer.down.new_zeros(missing, *layer.down.shape[1:])])
    up = layer.up * layer.scale
    up = torch.cat([up, up.new_zeros(len(up), missing, *up.shape[2:])], dim=1)
    return replace(layer, down=down, up=up, alpha=float(rank))


def _written(part: str, path: str) -> str:
    """With the ``text_model.`` that older transformers need and newer diffusers takes away."""
    text = part.startswith("text_encoder") and not path.startswith("text_model.")
    return f"text_model.{path}" if text else path
