"""Other LoRAs, merged into the frozen base model, or as the start of a trial's own."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from trainer.adapters import stored
from trainer.adapters.bank import AdapterBank
from trainer.adapters.targets import unet_targets
from trainer.bases import base_model, skeleton
from trainer.bases.base_model import BaseModel, BaseModelError
from trainer.lora_files import formats
from trainer.lora_files.kohya import Names
from trainer.lora_files.layers import LoraFileError, LowRank, slot_state
from trainer.plan import TrainingPlan
from trainer.plans.base import MergedLora


def loaded(plan: TrainingPlan) -> BaseModel:
    """The base model that a plan trains on, its LoRAs merged in and then stored as the plan asks.

    Raises:
        BaseModelError: with what is wrong and what to do.
    """
    compute = plan.compute
    device = base_model.device_for(compute.device)

    def prepare(base: BaseModel) -> BaseModel:
        ready = merged(base, plan.base.loras)
        stored.store(ready.unet, unet_targets(ready.unet), compute.base_format, device)
        return ready

    return base_model.load(
        plan.base, compute.mixed_precision, device, compute.attention, compute.offload, prepare
    )


def merged(base: BaseModel, loras: Sequence[MergedLora]) -> BaseModel:
    """The base model with LoRAs merged into its weights, in place, and into its identity.

    Every weight becomes W + sum of weight * alpha / rank * up down.

    Raises:
        BaseModelError: a file cannot be read, or belongs to another base model.
    """
    if not loras:
        return base
    models: dict[str, nn.Module] = {"unet": base.unet, **base.text_encoders}
    known = skeleton.adaptable(models) + skeleton.others(models)
    for lora in loras:
        try:
            for name, layer in formats.read(lora.file, base.kohya_names, known).items():
                part, _, path = name.partition(".")
                _add(models[part].get_submodule(path), layer, lora, name)
        except LoraFileError as error:
            raise BaseModelError(f"base.loras: {error}") from error
    stamp = fingerprint(base.identity.model_hash, loras)
    return replace(base, identity=replace(base.identity, model_hash=stamp))


def problems(loras: Sequence[MergedLora], start: Path | None) -> Iterator[str]:
    """Which of a plan's LoRA files are none, a sentence each; reads their names only."""
    named = [("base.loras", lora.file) for lora in loras]
    named += [("lora.start", start)] if start is not None else []
    for field, path in named:
        try:
            formats.check(path)
        except LoraFileError as error:
            yield f"{field}: {error}"


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
            digest.update(content(lora.file))
        except OSError as error:
            raise BaseModelError(f"base.loras: {lora.file}: this file cannot be read ({error}).") from error
        digest.update(repr(lora.weight).encode())
    return digest.hexdigest()


def content(path: Path) -> bytes:
    """SHA-256 over the contents of a LoRA's file, or of all files of its folder.

    Raises:
        OSError: a file cannot be read.
    """
    return b"".join(hashlib.sha256(file.read_bytes()).digest() for file in _contents(path))


def start(bank: AdapterBank, slot: int, file: Path, names: Names) -> None:
    """Lets an open slot begin at a file's weights; layers that the file lacks begin as new ones.

    Where alpha / rank differs, B is multiplied, so that delta W is the file's.

    Args:
        bank: where the slot is.
        slot: its number.
        file: a LoRA of any layout.
        names: how kohya calls the base model's layers.

    Raises:
        LoraFileError: the file cannot be read, or has other layers or ranks than the slot.
    """
    state, scales = bank.state(slot), bank.scales(slot)
    try:
        layers = formats.read(file, names, bank.layers)
        _check_start(layers, state, file)
        found = slot_state(layers, state, scales)
    except LoraFileError as error:
        raise LoraFileError(f"lora.start: {error}") from error
    mine = {f"{name}.{factor}" for name in layers for factor in ("down", "up")}
    bank.load(slot, {name: found[name] if name in mine else value for name, value in state.items()})


def _check_start(layers: Mapping[str, LowRank], state: Mapping[str, Tensor], file: Path) -> None:
    for name, layer in layers.items():
        if f"{name}.down" not in state:
            raise LoraFileError(f"{file} has the layer {name!r}, which the plan does not adapt.")
        rank = len(state[f"{name}.down"])
        if layer.rank != rank:
            raise LoraFileError(
                f"{file} has rank {layer.rank} at {name}, but the plan has rank {rank}; "
                "they must be the same."
            )


def _contents(path: Path) -> list[Path]:
    return sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]


def _add(module: nn.Module, layer: LowRank, lora: MergedLora, name: str) -> None:
    weight = module.get_parameter("weight")
    matches = layer.up.shape[1] == layer.rank
    shape = (len(layer.up), *layer.down.shape[1:])
    if not matches or math.prod(shape) != weight.numel() or shape[:2] != weight.shape[:2]:
        raise LoraFileError(
            f"{lora.file}: {name} has a delta of shape {shape}, but the base model's weight has "
            f"{tuple(weight.shape)}; was the LoRA made for another family?"
        )
    product = layer.up.flatten(1).double() @ layer.down.flatten(1).double()
    delta = lora.weight * layer.scale * product.view(weight.shape).to(weight.device)
    with torch.no_grad():
        weight.copy_((weight.double() + delta).to(weight.dtype))
