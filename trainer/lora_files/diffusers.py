"""The layout of diffusers' ``save_lora_weights``, with alpha in the metadata that its loader reads (pure)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping

from torch import Tensor

from trainer.lora_files import peft
from trainer.lora_files.layers import Layers, LoraFileError, LowRank, number, pair

METADATA_KEY = "lora_adapter_metadata"
_FACTOR = re.compile(
    r"(?P<layer>.+?)(?:\.lora_(?P<letter>[AB])|\.lora\.(?P<old>down|up)|\.lora_linear_layer\.(?P<text>down|up)"
    r"|_lora\.(?P<processor>down|up))\.weight"
)
_OUTPUT = re.compile(r"(?<=attn[12])\.to_out$")
_ATTENTION = {"to_q": "q_proj", "to_k": "k_proj", "to_v": "v_proj", "to_out": "out_proj"}
"""What older diffusers called a text encoder's projections."""


def write(layers: Mapping[str, LowRank]) -> tuple[dict[str, Tensor], dict[str, str]]:
    """A LoRA's tensors and the metadata without which diffusers would take alpha = rank."""
    tensors: dict[str, Tensor] = {}
    settings: dict[str, object] = {}
    for part, members in peft.by_part(layers).items():
        for path, layer in members.items():
            tensors[f"{part}.{_written(part, path)}.lora_A.weight"] = layer.down
            tensors[f"{part}.{_written(part, path)}.lora_B.weight"] = layer.up
        settings |= {f"{part}.{key}": value for key, value in peft.config(members).items()}
    return tensors, {METADATA_KEY: json.dumps(settings, sort_keys=True)}


def read(tensors: Mapping[str, Tensor], metadata: Mapping[str, str], known: Iterable[str]) -> Layers:
    """The inverse, and what older versions of diffusers wrote.

    Args:
        tensors: diffusers keys.
        metadata: of the file; without diffusers' entry, and without ``.alpha`` keys, alpha is the rank.
        known: the bank's layer names.

    Raises:
        LoraFileError: a key is unknown, or names a layer that the base model lacks.
    """
    wanted = {peft.bare(layer): layer for layer in known}
    settings = peft.settings(metadata.get(METADATA_KEY, "{}"))
    found: dict[str, dict[str, Tensor]] = {}
    alphas: dict[str, float] = {}
    for key, value in tensors.items():
        match = _FACTOR.fullmatch(key)
        path = match["layer"] if match else key.removesuffix(".alpha")
        layer = wanted.get(_current(path))
        if layer is None:
            raise LoraFileError(f"the base model has no layer {path!r}; was the LoRA made for another base?")
        if match is None:
            alphas[layer] = number(key, value)
            continue
        factor = (
            {"A": "down", "B": "up"}.get(match["letter"] or "")
            or match["old"]
            or match["text"]
            or match["processor"]
        )
        found.setdefault(layer, {})[factor] = value
    for layer in found:
        part, _, path = layer.partition(".")
        own = {
            key.removeprefix(part + "."): value
            for key, value in settings.items()
            if key.startswith(part + ".")
        }
        if own:
            alphas[layer] = peft.alpha(own, path)
    return pair(found, alphas)


def _written(part: str, path: str) -> str:
    """With the ``text_model.`` that older transformers need and newer diffusers takes away."""
    return path if part == "unet" or path.startswith("text_model.") else f"text_model.{path}"


def _current(path: str) -> str:
    """A layer's name without ``text_model`` and without the detours of older diffusers."""
    part, _, rest = path.partition(".")
    rest = rest.replace(".processor.", ".")
    if part == "unet":
        return f"{part}.{_OUTPUT.sub('.to_out.0', rest)}"
    for theirs, ours in _ATTENTION.items():
        rest = re.sub(rf"\.self_attn\.{theirs}$", f".self_attn.{ours}", rest)
    return peft.bare(f"{part}.{rest}")
