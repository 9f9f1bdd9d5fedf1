"""Other LoRAs, merged into the frozen base model, or as the start of a trial's own."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from trainer import lora_file
from trainer.adapters import AdapterBank
from trainer.base_model import BaseModel, BaseModelError
from trainer.lora_file import LoraFileError
from trainer.plan import MergedLora
from trainer.targets import convolution_targets, text_targets, unet_targets

_KINDS = {"lora_down.weight": "down", "lora_up.weight": "up", "alpha": "alpha"}
_SAME = 1e-6
"""Scales that differ by less than this share are one; files keep alpha in float32."""


@dataclass(frozen=True, slots=True)
class Factors:
    """One layer of a file: delta W = scale up down."""

    down: Tensor
    """Shape (rank, inputs), of a convolution (rank, inputs, height, width)."""
    up: Tensor
    """Shape (outputs, rank), of a convolution (outputs, rank, 1, 1)."""
    scale: float
    """alpha / rank."""

    def delta(self) -> Tensor:
        """delta W in float64: shape (outputs, inputs), of a convolution with its kernel."""
        product = self.up.flatten(1).double() @ self.down.flatten(1).double() * self.scale
        return product.view(len(self.up), *self.down.shape[1:])


def merged(base: BaseModel, loras: Sequence[MergedLora]) -> BaseModel:
    """The base model with LoRAs merged into its weights, in place, and into its fingerprint.

    Every weight becomes W + sum of weight * alpha / rank * up down.

    Raises:
        BaseModelError: a file cannot be read, or belongs to another base model.
    """
    if not loras:
        return base
    models: dict[str, nn.Module] = {"unet": base.unet, "text_encoder": base.text_encoder}
    known = lora_file.stems(adaptable(models))
    for lora in loras:
        try:
            for layer, factors in read(lora.file, known).items():
                part, _, path = layer.partition(".")
                _add(models[part].get_submodule(path), factors, lora, layer)
        except LoraFileError as error:
            raise BaseModelError(f"base.loras: {error}") from error
    return replace(base, fingerprint=fingerprint(base.fingerprint, loras))


def fingerprint(base: str, loras: Sequence[MergedLora]) -> str:
    """SHA-256 over the base model's own and those of the merged files with their weights; ``base`` without any.

    Raises:
        BaseModelError: a file is missing.
    """
    if not loras:
        return base
    digest = hashlib.sha256(base.encode())
    for lora in loras:
        try:
            digest.update(hashlib.sha256(lora.file.read_bytes()).digest())
        except OSError as error:
            raise BaseModelError(f"base.loras: {lora.file}: this file cannot be read ({error}).") from error
        digest.update(repr(lora.weight).encode())
    return digest.hexdigest()


def adaptable(models: Mapping[str, nn.Module]) -> list[str]:
    """All layers that a LoRA file may hold, ``<part>.<path>``."""
    unet = models["unet"]
    names = [f"unet.{name}" for name in (*unet_targets(unet), *convolution_targets(unet))]
    return names + [
        f"{part}.{name}" for part, model in models.items() if part != "unet" for name in text_targets(model)
    ]


def read(file: Path, known: Mapping[str, str]) -> dict[str, Factors]:
    """A LoRA file in kohya's keys, by layer.

    Args:
        file: safetensors.
        known: kohya's name -> ``<part>.<path>``.

    Raises:
        LoraFileError: it cannot be read, or holds what the base model has no place for.
    """
    found: dict[str, dict[str, Tensor]] = {}
    for key, value in lora_file.read(file).tensors.items():
        stem, _, kind = key.partition(".")
        if stem not in known:
            raise LoraFileError(
                f"{file}: the base model has no layer {stem!r}; was the LoRA made for another family?"
            )
        if kind not in _KINDS:
            raise LoraFileError(
                f"{file}: {key!r} is no factor of a LoRA; only lora_down and lora_up can be read."
            )
        found.setdefault(known[stem], {})[_KINDS[kind]] = value
    return {layer: _factors(parts, layer, file) for layer, parts in found.items()}


def start(bank: AdapterBank, slot: int, file: Path, known: Mapping[str, str]) -> None:
    """Lets an open slot begin at a file's weights; layers that the file lacks begin as new ones.

    Where alpha / rank differs, B is multiplied, so that delta W is the file's.

    Args:
        bank: where the slot is.
        slot: its number.
        file: in kohya's keys.
        known: kohya's name -> bank layer.

    Raises:
        LoraFileError: the file cannot be read, or has other layers or ranks than the slot.
    """
    state, scales = bank.state(slot), bank.scales(slot)
    for layer, factors in read(file, known).items():
        if layer not in scales:
            raise LoraFileError(f"lora.start: {file} has the layer {layer!r}, which the plan does not adapt.")
        places = {"down": state[f"{layer}.down"], "up": state[f"{layer}.up"]}
        values = {"down": factors.down.flatten(1), "up": factors.up.flatten(1)}
        ranks = len(values["down"]), len(places["down"])
        if ranks[0] != ranks[1]:
            raise LoraFileError(
                f"lora.start: {file} has rank {ranks[0]} at {layer}, but the plan has rank {ranks[1]}; "
                "they must be the same."
            )
        _check(layer, file, values, places)
        share = factors.scale / scales[layer]
        state[f"{layer}.down"] = values["down"].to(places["down"])
        up = values["up"].to(places["up"])
        state[f"{layer}.up"] = up if math.isclose(share, 1, rel_tol=_SAME) else up * share
    bank.load(slot, state)


def _check(layer: str, file: Path, values: Mapping[str, Tensor], places: Mapping[str, Tensor]) -> None:
    for factor, value in values.items():
        if value.shape != places[factor].shape:
            raise LoraFileError(
                f"{file}: {layer} has a factor of shape {tuple(value.shape)}, but the base model needs "
                f"{tuple(places[factor].shape)}; was the LoRA made for another family?"
            )


def _factors(parts: Mapping[str, Tensor], layer: str, file: Path) -> Factors:
    if not {"down", "up"} <= parts.keys():
        raise LoraFileError(f"{file}: {layer} lacks one of its factors; the file is not whole.")
    down, up = parts["down"], parts["up"]
    alpha = float(parts["alpha"]) if "alpha" in parts else len(down)
    return Factors(down, up, alpha / len(down))


def _add(module: nn.Module, factors: Factors, lora: MergedLora, layer: str) -> None:
    weight = module.get_parameter("weight")
    matches = factors.up.shape[1] == len(factors.down)
    shape = (len(factors.up), *factors.down.shape[1:])
    if not matches or math.prod(shape) != weight.numel() or shape[:2] != weight.shape[:2]:
        raise LoraFileError(
            f"{lora.file}: {layer} has a delta of shape {shape}, but the base model's weight has "
            f"{tuple(weight.shape)}; was the LoRA made for another family?"
        )
    delta = lora.weight * factors.delta().view(weight.shape).to(weight.device)
    with torch.no_grad():
        weight.copy_((weight.double() + delta).to(weight.dtype))
