"""PEFT's layout: a folder for each model, with ``adapter_config.json`` and ``adapter_model.safetensors``."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from trainer.lora_files import algorithms, file
from trainer.lora_files.algorithms import Tensors
from trainer.lora_files.layers import LoraFileError, LowRank

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
PREFIX = "base_model.model."
_PLAIN = re.compile(r"[\w.]+")
"""Names of layers; a stranger's regular expression could take for ever."""
_KINDS = ("LORA", "LOHA", "LOKR")
_VARIANTS = (
    "use_qalora",
    "use_bdlora",
    "arrow_config",
    "alora_invocation_tokens",
    "kasa_config",
    "velora_config",
    "monteclora_config",
    "layer_replication",
)
"""Settings of ``peft.LoraConfig`` by which a layer adds something else than its tensors say."""
_STARTS = ("pissa", "olora", "corda", "loftq", "lora_ga")
"""Beginnings that take a part out of the base model's weights."""
_MOST_ALPHA = 1e9


def by_part(layers: Mapping[str, LowRank]) -> dict[str, dict[str, LowRank]]:
    """Layers by part and path."""
    parts: dict[str, dict[str, LowRank]] = {}
    for name, layer in layers.items():
        part, _, path = name.partition(".")
        parts.setdefault(part, {})[path] = layer
    return parts


def config(members: Mapping[str, LowRank]) -> dict[str, Any]:
    """The arguments of ``peft.LoraConfig`` for one model: the commonest rank and alpha, and what departs."""
    rank = Counter(layer.rank for layer in members.values()).most_common(1)[0][0]
    alpha = Counter(layer.alpha for layer in members.values()).most_common(1)[0][0]
    paths = {path.removeprefix("text_model."): layer for path, layer in members.items()}
    return {
        "r": rank,
        "lora_alpha": alpha,
        "lora_dropout": 0.0,
        "use_dora": any(layer.magnitude is not None for layer in members.values()),
        "bias": "none",
        "target_modules": sorted(paths),
        "rank_pattern": {path: layer.rank for path, layer in paths.items() if layer.rank != rank},
        "alpha_pattern": {path: layer.alpha for path, layer in paths.items() if layer.alpha != alpha},
    }


def tensors(stem: str, layer: LowRank, magnitude: str = "lora_magnitude_vector") -> dict[str, Tensor]:
    """A layer's tensors under PEFT's keys, in the shapes of its parameters.

    Args:
        stem: what the keys begin with.
        layer: its factors.
        magnitude: what the key of a magnitude ends in.
    """
    found = {f"{stem}.lora_A.weight": layer.down, f"{stem}.lora_B.weight": layer.up}
    if layer.magnitude is not None:
        sides = (1, -1, 1, 1) if layer.down.ndim == 4 else (-1,)
        found[f"{stem}.{magnitude}"] = layer.magnitude.view(sides)
    return found


def scaled(layers: Mapping[str, Tensors], parts: Mapping[str, Mapping[str, Any]]) -> dict[str, Tensors]:
    """Layers with the alphas that PEFT's settings give them, so that alpha / rank is what PEFT multiplies by.

    Args:
        layers: tensors by layer, ``<part>.<path>``.
        parts: settings of each part; layers of other parts stay as they are.

    Raises:
        LoraFileError: the adapter is none of LoRA, LoHa and LoKr, or starts from weights that it does not hold.
    """
    found = dict(layers)
    for name, tensors in layers.items():
        part, _, path = name.partition(".")
        if own := parts.get(part):
            _check(own)
            found[name] = _scaled(name, tensors, own, path)
    return found


def _scaled(name: str, tensors: Tensors, own: Mapping[str, Any], path: str) -> Tensors:
    if own.get("use_dora") and "magnitude" not in tensors:
        raise LoraFileError(f"{name}: its settings say use_dora, but it has no lora_magnitude_vector")
    wanted, rank = _alpha(own, path), algorithms.rank(name, tensors)
    if {"lokr_w1", "lokr_w2"} <= tensors.keys():
        whole = wanted / max(1.0, _number("r", own.get("r")))
        return {**tensors, "lokr_w1": tensors["lokr_w1"].float() * whole}
    return {**tensors, "alpha": torch.tensor(wanted * (math.sqrt(rank) if own.get("use_rslora") else 1.0))}


def _check(settings: Mapping[str, Any]) -> None:
    """Whether the weights alone say what the adapter does, as LoRA, LoHa or LoKr."""
    start = str(settings.get("init_lora_weights"))
    odd = [name for name in _VARIANTS if settings.get(name)]
    if settings.get("peft_type", "LORA") not in _KINDS:
        odd.append(f"peft_type {str(settings['peft_type'])[:40]!r}")
    if start.startswith(_STARTS):
        odd.append(f"init_lora_weights {start[:40]!r}, which changes the base model")
    if odd:
        raise LoraFileError(
            f"the adapter is made with {', '.join(odd)}; only LoRA, LoHa and LoKr can be read"
        )


def _alpha(settings: Mapping[str, Any], path: str) -> float:
    special = settings.get("alpha_pattern") or {}
    if not isinstance(special, dict):
        raise LoraFileError("alpha_pattern must be a table of layers and their alphas")
    for pattern, value in special.items():
        plain = pattern.removeprefix("^").removesuffix("$").replace("\\.", ".")
        if not _PLAIN.fullmatch(plain):
            raise LoraFileError(
                f"alpha_pattern names {pattern[:80]!r}, which is an expression; only names of layers can be read"
            )
        ours, theirs = path.removeprefix("text_model."), plain.removeprefix("text_model.")
        if ours == theirs or (not pattern.startswith("^") and ours.endswith(f".{theirs}")):
            return _number(f"alpha_pattern of {pattern!r}", value)
    name = "lora_alpha" if "lora_alpha" in settings else "alpha"
    return _number(name, settings.get(name))


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
        weights: dict[str, Tensor] = {}
        for path, layer in members.items():
            weights |= tensors(PREFIX + path, layer)
        settings = {
            "peft_type": "LORA",
            "inference_mode": True,
            "base_model_name_or_path": None,
            **config(members),
        }
        found[part] = weights, json.dumps(settings, indent=2, sort_keys=True)
    return found


def read(root: Path) -> tuple[dict[str, Tensor], dict[str, dict[str, Any]]]:
    """All tensors of a folder, their keys beginning with the part, and the settings of each part.

    Raises:
        LoraFileError: a file is missing or is none of PEFT's.
    """
    tensors: dict[str, Tensor] = {}
    parts: dict[str, dict[str, Any]] = {}
    for part, folder in folders(root).items():
        parts[part] = settings((folder / CONFIG).read_text(encoding="utf-8"))
        for key, value in file.read(folder / WEIGHTS).tensors.items():
            tensors[f"{part}.{key.removeprefix(PREFIX)}"] = value
    return tensors, parts


def folders(root: Path) -> dict[str, Path]:
    """The model folders of a PEFT LoRA: its sub-folders by name, or itself as what its name says, else the U-Net's."""
    found = {child.name: child for child in sorted(root.iterdir()) if (child / CONFIG).is_file()}
    part = root.name if root.name.startswith("text_encoder") else "unet"
    return found or ({part: root} if (root / CONFIG).is_file() else {})
