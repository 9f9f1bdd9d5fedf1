"""LoRA files as A1111, ComfyUI and diffusers read them: kohya keys in safetensors."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from trainer.adapters import AdapterBank
from trainer.base_model import DTYPES
from trainer.data.dataset import Dataset
from trainer.data.stream import steps_per_epoch
from trainer.files import write_whole
from trainer.network_facts import network_facts
from trainer.outcome import EpochEnd
from trainer.plan import Precision, TrainingPlan

PREFIXES = {"unet": "lora_unet_", "text_encoder": "lora_te_text_model_"}
"""Kohya's name of each part; SD 1.x text encoders are written with transformers' old ``text_model.``."""


class LoraFileError(Exception):
    """A LoRA file cannot be read; the message is one sentence."""


@dataclass(frozen=True, slots=True)
class Lora:
    """The content of a LoRA file."""

    tensors: dict[str, Tensor]
    """Kohya keys."""
    metadata: dict[str, str]


def kohya_keys(
    state: Mapping[str, Tensor], scales: Mapping[str, float], kernels: Mapping[str, tuple[int, int]]
) -> dict[str, Tensor]:
    """A bank's slot state under kohya's names.

    Args:
        state: ``<part>.<layer>.down`` (rank, inputs) and ``.up`` (outputs, rank).
        scales: alpha / rank by layer.
        kernels: height and width of the convolutions' kernels, by layer.
    """
    tensors: dict[str, Tensor] = {}
    for name, value in state.items():
        layer, _, factor = name.rpartition(".")
        stem = kohya_stem(layer)
        if layer in kernels:
            kernel = kernels[layer] if factor == "down" else (1, 1)
            value = value.view(len(value), -1, *kernel)
        tensors[f"{stem}.lora_{factor}.weight"] = value
        if factor == "down":
            tensors[f"{stem}.alpha"] = torch.tensor(scales[layer] * len(value))
    return tensors


def slot_keys(bank: AdapterBank, slot: int) -> dict[str, Tensor]:
    """All that a slot's file holds: LoRA factors, or what LyCORIS writes for its algorithm."""
    alone = bank.unpacked(slot)
    if alone is None:
        return kohya_keys(bank.state(slot), bank.scales(slot), bank.kernels)
    return {f"{kohya_stem(layer)}.{key}": value for layer, key, value in alone.tensors()}


def load_slot(bank: AdapterBank, slot: int, tensors: Mapping[str, Tensor]) -> None:
    """Puts a file's tensors into an open slot.

    Raises:
        LoraFileError: a key names a layer that the base model lacks.
    """
    layers = stems(bank.layers)
    if bank.unpacked(slot) is None:
        bank.load(slot, slot_state(tensors, layers))
        return
    wanted = {
        f"{kohya_stem(name.rpartition('.')[0])}.{name.rpartition('.')[2]}": name for name in bank.leaves(slot)
    }
    bank.load(slot, {name: tensors[key] for key, name in wanted.items() if key in tensors})


def kohya_stem(layer: str) -> str:
    """Kohya's name of a bank layer ``<part>.<path>``."""
    part, _, path = layer.partition(".")
    return PREFIXES[part] + path.removeprefix("text_model.").replace(".", "_")


def stems(layers: Iterable[str]) -> dict[str, str]:
    """Kohya's name -> bank layer, for reading files."""
    return {kohya_stem(layer): layer for layer in layers}


def slot_state(tensors: Mapping[str, Tensor], layers: Mapping[str, str]) -> dict[str, Tensor]:
    """The inverse of ``kohya_keys``.

    Args:
        tensors: kohya keys.
        layers: kohya stem -> bank layer name.

    Raises:
        LoraFileError: a key names a layer that the base model lacks.
    """
    state: dict[str, Tensor] = {}
    for key, value in tensors.items():
        match = re.fullmatch(r"(.+)\.(lora_down|lora_up)\.weight", key)
        if not match:
            continue
        if match[1] not in layers:
            raise LoraFileError(
                f"the base model has no layer {match[1]!r}; was the LoRA made for another base?"
            )
        state[f"{layers[match[1]]}.{match[2].removeprefix('lora_')}"] = value.flatten(1).float()
    return state


def encode(tensors: Mapping[str, Tensor], metadata: Mapping[str, str], precision: Precision) -> bytes:
    """A whole safetensors file, with the model hash that WebUIs look for (``sshs_model_hash``).

    Alphas stay in float32: rounded to half precision they would change the LoRA's scale.
    """
    from safetensors.torch import save

    stored = {
        key: value if key.endswith(".alpha") else value.to(DTYPES[precision]).contiguous()
        for key, value in sorted(tensors.items())
    }
    bare = save(stored)
    area = bare[8 + int.from_bytes(bare[:8], "little") :]
    whole: bytes = save(stored, {**metadata, "sshs_model_hash": hashlib.sha256(area).hexdigest()})
    return whole


def write(
    path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str], precision: Precision
) -> None:
    """Writes a LoRA file, whole or not at all."""
    write_whole(path, encode(tensors, metadata, precision))


def read(path: Path) -> Lora:
    """Reads a safetensors LoRA file.

    Raises:
        LoraFileError: the file is missing or is no safetensors file.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            return Lora({key: file.get_tensor(key) for key in file.keys()}, file.metadata() or {})  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise LoraFileError(f"{path}: this is not a readable safetensors file ({error}).") from error


def metadata(
    plan: TrainingPlan, dataset: Dataset, fingerprint: str, name: str, end: EpochEnd
) -> dict[str, str]:
    """The ``ss_*`` metadata that the ecosystem's tools show.

    Args:
        plan: what was trained.
        dataset: on which images.
        fingerprint: of the base model.
        name: ``ss_output_name``.
        end: where training stood.
    """
    text_rate = plan.optimiser.unet_lr * plan.optimiser.text_lr_over_unet_lr
    facts: dict[str, object] = {
        "ss_output_name": name,
        "ss_network_dim": plan.lora.rank,
        "ss_network_alpha": plan.lora.alpha,
        **network_facts(plan.lora),
        "ss_base_model_version": "sd_v1",
        "ss_v2": False,
        "ss_sd_model_name": plan.base.path.name,
        "ss_new_sd_model_hash": fingerprint,
        "ss_learning_rate": plan.optimiser.unet_lr,
        "ss_unet_lr": plan.optimiser.unet_lr if plan.lora.unet else None,
        "ss_text_encoder_lr": text_rate if plan.lora.text_encoder else None,
        "ss_optimizer": plan.optimiser.name,
        "ss_lr_scheduler": plan.schedule.name,
        "ss_num_train_images": len(dataset.split.train),
        "ss_num_epochs": plan.data.epochs,
        "ss_epoch": end.epoch,
        "ss_steps": end.steps,
        "ss_max_train_steps": plan.data.epochs
        * steps_per_epoch(dataset.deck, dataset.sizes, plan.data.repeats, plan.data.batch_size),
        "ss_total_batch_size": plan.data.batch_size,
        "ss_resolution": f"({plan.data.resolution}, {plan.data.resolution})",
        "ss_enable_bucket": plan.data.enable_bucket,
        "ss_noise_offset": plan.noise.offset or None,
        "ss_min_snr_gamma": plan.noise.min_snr_gamma,
        "ss_clip_skip": plan.base.clip_skip,
        "ss_shuffle_caption": plan.data.shuffle_caption,
        "ss_keep_tokens": plan.data.keep_tokens,
        "ss_mixed_precision": plan.compute.mixed_precision,
        "ss_gradient_checkpointing": plan.compute.gradient_checkpointing,
        "ss_seed": plan.seed,
        "ss_tag_frequency": json.dumps(_tag_frequency(dataset)),
        "lorasearch_plan": plan.model_dump_json(),
        "modelspec.sai_model_spec": "1.0.0",
        "modelspec.architecture": "stable-diffusion-v1/lora",
        "modelspec.title": name,
        "modelspec.resolution": f"{plan.data.resolution}x{plan.data.resolution}",
    }
    return {key: str(value) for key, value in facts.items()}


def _tag_frequency(dataset: Dataset) -> dict[str, dict[str, int]]:
    counts: dict[str, dict[str, int]] = {}
    for i in dataset.split.train:
        example = dataset.examples[i]
        folder = counts.setdefault(example.path.parent.name, {})
        for tag in (tag.strip() for tag in example.caption.split(",")):
            folder[tag] = folder.get(tag, 0) + 1
    return counts
