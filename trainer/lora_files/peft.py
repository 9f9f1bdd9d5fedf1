"""PEFT's layout: a folder for each model, with ``adapter_config.json`` and ``adapter_model.safetensors``."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from trainer.lora_files import algorithms, file, peft_rotations, peft_settings
from trainer.lora_files.algorithms import Tensors
from trainer.lora_files.layers import LoraFileError, LowRank

if TYPE_CHECKING:
    from peft import PeftConfig

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
PREFIX = "base_model.model."
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


def config(members: Mapping[str, LowRank]) -> dict[str, Any]:
    """Settings of ``peft.LoraConfig`` for one model: the commonest rank and alpha, and what departs."""
    rank = Counter(layer.rank for layer in members.values()).most_common(1)[0][0]
    alpha = Counter(layer.alpha for layer in members.values()).most_common(1)[0][0]
    paths = {path.removeprefix("text_model."): layer for path, layer in members.items()}
    return peft_settings.lora(
        r=rank,
        lora_alpha=alpha,
        lora_dropout=0.0,
        use_dora=any(layer.magnitude is not None for layer in members.values()),
        bias="none",
        target_modules=sorted(paths),
        rank_pattern={path: layer.rank for path, layer in paths.items() if layer.rank != rank},
        alpha_pattern={path: layer.alpha for path, layer in paths.items() if layer.alpha != alpha},
    )


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


def scaled(layers: Mapping[str, Tensors], parts: Mapping[str, PeftConfig]) -> dict[str, Tensors]:
    """Layers whose tensors alone say what PEFT's settings make of them: alpha / rank is what PEFT multiplies by.

    Args:
        layers: tensors by layer, ``<part>.<path>``.
        parts: settings of each part; layers of other parts stay as they are.

    Raises:
        LoraFileError: tensors and settings do not fit each other.
    """
    found = dict(layers)
    for name, tensors in layers.items():
        part, _, path = name.partition(".")
        if part in parts:
            found[name] = _meant(name, tensors, parts[part], path)
    return found


def _meant(name: str, tensors: Tensors, own: Any, path: str) -> Tensors:
    if "ia3_l" in tensors and own.peft_type == "IA3":
        return peft_rotations.factors(tensors, own, path)
    if "oft_R" in tensors and own.peft_type == "OFT":
        return peft_rotations.rotation(name, tensors, own)
    if "boft_R" in tensors and own.peft_type == "BOFT":
        return peft_rotations.butterfly(name, tensors)
    return _scaled(name, tensors, own, path)


def _scaled(name: str, tensors: Tensors, own: Any, path: str) -> Tensors:
    if getattr(own, "use_dora", False) and "magnitude" not in tensors:
        raise LoraFileError(f"{name}: its settings say use_dora, but it has no lora_magnitude_vector")
    wanted, rank = _alpha(own, path), algorithms.rank(name, tensors)
    if {"lokr_w1", "lokr_w2"} <= tensors.keys():
        whole = wanted / max(1.0, _number("r", own.r))
        return {**tensors, "lokr_w1": tensors["lokr_w1"].float() * whole}
    gain = math.sqrt(rank) if getattr(own, "use_rslora", False) else 1.0
    return {**tensors, "alpha": torch.tensor(wanted * gain)}


def _alpha(settings: Any, path: str) -> float:
    special = getattr(settings, "alpha_pattern", None) or {}
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
    name = "lora_alpha" if hasattr(settings, "lora_alpha") else "alpha"
    return _number(name, getattr(settings, name, None))


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
        settings = {**config(members), "inference_mode": True}
        found[part] = weights, json.dumps(settings, indent=2, sort_keys=True)
    return found


def read(root: Path, denoiser: str = "unet") -> tuple[dict[str, Tensor], dict[str, PeftConfig]]:
    """All tensors of a folder, their keys beginning with the part, and the settings of each part.

    PEFT reads the settings; the tensors are read within this project's limits.

    Args:
        root: the folder.
        denoiser: whose a folder is that does not say it.

    Raises:
        LoraFileError: a file is missing, is none of PEFT's, or holds an adapter that cannot be read.
    """
    tensors: dict[str, Tensor] = {}
    parts: dict[str, PeftConfig] = {}
    for part, folder in folders(root, denoiser).items():
        own = file.read(folder / WEIGHTS).tensors
        parts[part] = peft_settings.parsed(_told(folder / CONFIG), own)
        for key, value in own.items():
            tensors[f"{part}.{key.removeprefix(PREFIX)}"] = value
    return tensors, parts


def _told(path: Path) -> dict[str, Any]:
    try:
        return peft_settings.table(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        raise LoraFileError(f"its settings are no text in UTF-8 ({error})") from error


def folders(root: Path, denoiser: str = "unet") -> dict[str, Path]:
    """The model folders of a PEFT LoRA: its sub-folders by name, or itself by its name, else the denoiser's."""
    found = {child.name: child for child in sorted(root.iterdir()) if (child / CONFIG).is_file()}
    part = root.name if root.name.startswith("text_encoder") else denoiser
    return found or ({part: root} if (root / CONFIG).is_file() else {})
