"""Other LoRAs, merged into the frozen base model, or as the start of a trial's own."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from trainer.adapters import stored
from trainer.bases import base_model, skeleton
from trainer.bases.base_model import BaseModel, BaseModelError
from trainer.bases.layers import stored as stored_layers
from trainer.lora_files import formats
from trainer.lora_files.algorithms import Tensors, difference
from trainer.lora_files.layers import LoraFileError, LowRank
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
        stored.store(ready.unet, stored_layers(ready.unet), compute.base_format, device)
        return ready

    return base_model.load(
        plan.base, compute.mixed_precision, device, compute.attention, compute.offload, prepare
    )


def merged(base: BaseModel, loras: Sequence[MergedLora]) -> BaseModel:
    """The base model with LoRAs merged into its weights, in place, and into its identity.

    Every weight becomes W + weight * delta W, one file after the other; where a delta depends on W, as that of DoRA,
    OFT, GLoRA and IA3 does, it is that of the weights with the files before it.

    Raises:
        BaseModelError: a file cannot be read, or belongs to another base model.
    """
    if not loras:
        return base
    models: dict[str, nn.Module] = {"unet": base.unet, **base.text_encoders}
    known = skeleton.readable(models)
    for lora in loras:
        try:
            content = formats.content(lora.file, base.kohya_names, known)
            for name, layer in content.low_rank.items():
                _add(_module(models, name), layer, lora, name)
            for name, tensors in content.others.items():
                _add_other(_module(models, name), tensors, lora, name)
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


def _contents(path: Path) -> list[Path]:
    return sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]


def _module(models: Mapping[str, nn.Module], name: str) -> nn.Module:
    part, _, path = name.partition(".")
    return models[part].get_submodule(path)


def _bias(module: nn.Module) -> nn.Parameter | None:
    return dict(module.named_parameters()).get("bias")


def _add_other(module: nn.Module, tensors: Tensors, lora: MergedLora, name: str) -> None:
    """A layer of another algorithm."""
    weight, own = module.get_parameter("weight"), _bias(module)
    try:
        change, bias = difference(name, tensors, weight, own)
    except LoraFileError as error:
        raise LoraFileError(f"{lora.file}: {error}") from error
    with torch.no_grad():
        weight.copy_((weight.double() + lora.weight * change.to(weight.device).double()).to(weight.dtype))
        if bias is None:
            return
        if own is None:
            own = nn.Parameter(torch.zeros(len(weight)).to(weight), requires_grad=False)
            module.register_parameter("bias", own)
        own.copy_((own.double() + lora.weight * bias.to(own.device).double()).to(own.dtype))


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
