"""PEFT's layout: a folder for each model, with ``adapter_config.json`` and ``adapter_model.safetensors``."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from trainer.lora_files.layers import Layers, LoraFileError, LowRank, pair

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
_PREFIX = "base_model.model."
_KEY = re.compile(re.escape(_PREFIX) + r"(?P<path>.+)\.lora_(?P<letter>[AB])\.weight")
_PLAIN = re.compile(r"[\w.]+")
"""Names of layers; a stranger's regular expression could take for ever."""
_MOST_ALPHA = 1e9


def by_part(layers: Mapping[str, LowRank]) -> dict[str, dict[str, LowRank]]:
    """Layers by part and path."""
    parts: dict[str, dict[str, LowRank]] = {}
    for name, layer in layers.items():
        part, _, path = name.partition(".")
        parts.setdefault(part, {})[path] = layer
    return parts


def bare(layer: str) -> str:
    """A bank layer without the ``text_model`` that depends on the version of transformers."""
    part, _, path = layer.partition(".")
    return f"{part}.{path.removeprefix('text_model.')}"


def config(members: Mapping[str, LowRank]) -> dict[str, Any]:
    """The arguments of ``peft.LoraConfig`` for one model: the commonest rank and alpha, and what departs."""
    rank = Counter(layer.rank for layer in members.values()).most_common(1)[0][0]
    alpha = Counter(layer.alpha for layer in members.values()).most_common(1)[0][0]
    paths = {path.removeprefix("text_model."): layer for path, layer in members.items()}
    return {
        "r": rank,
        "lora_alpha": alpha,
        "lora_dropout": 0.0,
        "bias": "none",
        "target_modules": sorted(paths),
        "rank_pattern": {path: layer.rank for path, layer in paths.items() if layer.rank != rank},
        "alpha_pattern": {path: layer.alpha for path, layer in paths.items() if layer.alpha != alpha},
    }


def alpha(settings: Mapping[str, Any], path: str) -> float:
    """A layer's alpha according to a ``peft.LoraConfig``.

    Raises:
        LoraFileError: the adapter is none of plain LoRA.
    """
    variants = [key for key in ("use_rslora", "use_dora") if settings.get(key)]
    if variants or settings.get("peft_type", "LORA") != "LORA":
        what = variants[0] if variants else f"peft_type {settings['peft_type']!r}"
        raise LoraFileError(f"the adapter is made with {what}; only plain LoRA can be read")
    special = settings.get("alpha_pattern") or {}
    if not isinstance(special, dict):
        raise LoraFileError("alpha_pattern must be a table of layers and their alphas")
    for pattern, value in special.items():
        plain = pattern.removeprefix("^").removesuffix("$").replace("\\.", ".")
        if not _PLAIN.fullmatch(plain):
            raise LoraFileError(
                f"alpha_pattern names {pattern[:80]!r}, which is an expression; only names of layers can be read"
            )
        if path == plain or (not pattern.startswith("^") and path.endswith(f".{plain}")):
            return _number(f"alpha_pattern of {pattern!r}", value)
    return _number("lora_alpha", settings.get("lora_alpha"))


def settings(text: str) -> dict[str, Any]:
    """The table in the JSON text of a file.

    Raises:
        LoraFileError: it is none.
    """
    try:
        table = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise LoraFileError(f"its settings are no JSON ({str(error)[:80]})") from error
    if not isinstance(table, dict):
        raise LoraFileError("its settings are no JSON table")
    return table


def _number(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < _MOST_ALPHA:
        raise LoraFileError(f"{name} must be a finite number, but got {str(value)[:40]!r}")
    return float(value)


def write(layers: Mapping[str, LowRank]) -> dict[str, tuple[dict[str, Tensor], str]]:
    """Tensors and ``adapter_config.json`` of each part."""
    found: dict[str, tuple[dict[str, Tensor], str]] = {}
    for part, members in by_part(layers).items():
        tensors: dict[str, Tensor] = {}
        for path, layer in members.items():
            tensors[f"{_PREFIX}{path}.lora_A.weight"] = layer.down
            tensors[f"{_PREFIX}{path}.lora_B.weight"] = layer.up
        settings = {
            "peft_type": "LORA",
            "inference_mode": True,
            "base_model_name_or_path": None,
            **config(members),
        }
        found[part] = tensors, json.dumps(settings, indent=2, sort_keys=True)
    return found


def read(parts: Mapping[str, tuple[Mapping[str, Tensor], Mapping[str, Any]]], known: Iterable[str]) -> Layers:
    """The inverse of ``write``.

    Args:
        parts: tensors and configuration of each part.
        known: the bank's layer names.

    Raises:
        LoraFileError: a key is unknown, or names a layer that the base model lacks.
    """
    wanted = {bare(layer): layer for layer in known}
    found: dict[str, dict[str, Tensor]] = {}
    alphas: dict[str, float] = {}
    for part, (tensors, settings) in parts.items():
        for key, value in tensors.items():
            match = _KEY.fullmatch(key)
            if match is None:
                raise LoraFileError(f"{part}: the key {key!r} is none of PEFT's LoRA; only LoRA can be read")
            layer = wanted.get(bare(f"{part}.{match['path']}"))
            if layer is None:
                raise LoraFileError(
                    f"the base model has no layer '{part}.{match['path']}'; was the LoRA made for another base?"
                )
            found.setdefault(layer, {})["down" if match["letter"] == "A" else "up"] = value
            alphas[layer] = alpha(settings, match["path"])
    return pair(found, alphas)


def folders(root: Path) -> dict[str, Path]:
    """The model folders of a PEFT LoRA: its sub-folders by name, or itself as the U-Net's."""
    found = {child.name: child for child in sorted(root.iterdir()) if (child / CONFIG).is_file()}
    return found or ({"unet": root} if (root / CONFIG).is_file() else {})
