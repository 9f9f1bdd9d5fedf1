"""LoRA files: safetensors with the metadata and hashes that A1111 and other tools read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from trainer import tensor_header
from trainer.adapters import AdapterBank
from trainer.base_model import DTYPES
from trainer.bases.families import TEXT_PARTS, Identity
from trainer.data import facts as data_facts
from trainer.data.dataset import Dataset
from trainer.data.stream import steps_per_epoch
from trainer.files import write_whole
from trainer.lora_formats import kohya, low_rank
from trainer.lora_formats.low_rank import LoraFileError as LoraFileError
from trainer.network_facts import network_facts
from trainer.outcome import EpochEnd
from trainer.plan import TrainingPlan
from trainer.plans.compute import Precision
from trainer.recipe_facts import recipe_facts
from trainer.tensor_header import CONVERT, PICKLES, HeaderError

_LEGACY = slice(0x100000, 0x110000)
"""The part of a file that A1111's old short hash covers."""
_SGM = "https://github.com/Stability-AI/generative-models"


@dataclass(frozen=True, slots=True)
class Lora:
    """The content of a LoRA file."""

    tensors: dict[str, Tensor]
    metadata: dict[str, str]


def slot_keys(bank: AdapterBank, slot: int, names: kohya.Names) -> dict[str, Tensor]:
    """All that a slot's file holds: LoRA factors, or what LyCORIS writes for its algorithm."""
    alone = bank.unpacked(slot)
    if alone is None:
        layers = low_rank.from_state(bank.state(slot), bank.scales(slot), bank.kernels)
        return kohya.write(layers, names)
    return {f"{names.stem(layer)}.{key}": value for layer, key, value in alone.tensors()}


def load_slot(bank: AdapterBank, slot: int, tensors: Mapping[str, Tensor], names: kohya.Names) -> None:
    """Puts a file's tensors into an open slot.

    Raises:
        LoraFileError: a key names a layer that the base model lacks, or the file is of another algorithm.
    """
    alone = bank.unpacked(slot)
    if alone is None:
        layers = kohya.read(tensors, names.layers(bank.layers))
        bank.load(slot, low_rank.slot_state(layers, bank.state(slot), bank.scales(slot)))
        return
    stored: dict[str, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        stem, _, name = key.partition(".")
        stored.setdefault(stem, {})[name] = value
    state: dict[str, Tensor] = {}
    for layer in alone.layers:
        stem = names.stem(layer)
        try:
            state |= alone.leaves_of(layer, stored.get(stem, {}))
        except KeyError as error:
            key = f"{stem}.{error.args[0]}"
            raise LoraFileError(
                f"the file has no {key!r}; was it made with other settings of the algorithm?"
            ) from error
    bank.load(slot, state)


def encode(tensors: Mapping[str, Tensor], metadata: Mapping[str, str], precision: Precision) -> bytes:
    """A whole safetensors file, with the hashes that WebUIs look for (``sshs_*``).

    Alphas stay in float32: rounded to half precision they would change the LoRA's scale.
    """
    from safetensors.torch import save

    stored = {
        key: value if key.endswith(".alpha") else value.to(DTYPES[precision]).contiguous()
        for key, value in sorted(tensors.items())
    }
    bare = _with_metadata(save(stored), {key: text for key, text in metadata.items() if key[:3] == "ss_"})
    area = bare[8 + int.from_bytes(bare[:8], "little") :]
    hashes = {
        "sshs_model_hash": hashlib.sha256(area).hexdigest(),
        "sshs_legacy_hash": hashlib.sha256(bare[_LEGACY]).hexdigest()[:8],
    }
    return _with_metadata(bare, {**metadata, **hashes})


def _with_metadata(file: bytes, metadata: Mapping[str, str]) -> bytes:
    """A safetensors file with its metadata in the order of their names: equal content gives equal bytes."""
    start = 8 + int.from_bytes(file[:8], "little")
    header = json.loads(file[8:start]) | {"__metadata__": dict(sorted(metadata.items()))}
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False, sort_keys=True).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + file[start:]


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
    with _opened(path) as file:
        return Lora({key: file.get_tensor(key) for key in file.keys()}, file.metadata() or {})  # noqa: SIM118


def names(path: Path) -> tuple[str, ...]:
    """The keys of a safetensors file, without reading its tensors.

    Raises:
        LoraFileError: the file is missing or is no safetensors file.
    """
    _check_suffix(path)
    try:
        return tuple(tensor_header.read(path).shapes)
    except (OSError, HeaderError) as error:
        raise LoraFileError(
            f"{path}: this is not a readable safetensors file ({error}); download or save it again."
        ) from error


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    from safetensors import SafetensorError, safe_open

    _check_suffix(path)
    try:
        tensor_header.read(path)
        with safe_open(path, framework="pt") as file:
            yield file
    except (OSError, HeaderError, SafetensorError) as error:
        raise LoraFileError(
            f"{path}: this is not a readable safetensors file ({error}); download or save it again."
        ) from error


def _check_suffix(path: Path) -> None:
    if path.suffix.lower() in PICKLES:
        raise LoraFileError(f"{path}: pickle files can run code and are refused; {CONVERT}.")


def metadata(
    plan: TrainingPlan, dataset: Dataset, base: Identity, name: str, end: EpochEnd
) -> dict[str, str]:
    """The ``ss_*`` and ``modelspec.*`` metadata that the ecosystem's tools show.

    Args:
        plan: what was trained.
        dataset: on which images.
        base: the base model.
        name: ``ss_output_name``.
        end: where training stood.
    """
    dataset = dataset.fold(plan.data.fold)
    total_steps = plan.data.epochs * steps_per_epoch(
        dataset.deck,
        dataset.sizes,
        plan.data.repeats,
        plan.data.batch_size,
        plan.optimiser.gradient_accumulation,
    )
    facts: dict[str, object] = {
        "ss_output_name": name,
        "ss_network_dim": plan.lora.rank,
        "ss_network_alpha": plan.lora.alpha,
        **network_facts(plan.lora),
        "ss_base_model_version": version(base),
        "ss_v2": base.family == "sd2",
        "ss_zero_terminal_snr": base.zero_terminal_snr,
        "ss_sd_model_name": plan.base.path.name,
        "ss_new_sd_model_hash": base.model_hash,
        "ss_vae_name": plan.base.vae.name if plan.base.vae else None,
        "ss_new_vae_hash": base.vae_hash,
        "ss_unet_lr": plan.optimiser.unet_lr if plan.lora.unet else None,
        "ss_text_encoder_lr": _text_rates(plan, base),
        **recipe_facts(plan, total_steps),
        "ss_num_train_images": len(dataset.split.train),
        "ss_num_epochs": plan.data.epochs,
        "ss_epoch": end.epoch,
        "ss_steps": end.steps,
        "ss_total_batch_size": plan.data.batch_size,
        "ss_resolution": f"({plan.data.resolution}, {plan.data.resolution})",
        "ss_enable_bucket": plan.data.enable_bucket,
        "ss_clip_skip": plan.base.clip_skip,
        "ss_shuffle_caption": plan.data.shuffle_caption,
        "ss_keep_tokens": plan.data.keep_tokens,
        "ss_mixed_precision": plan.compute.mixed_precision,
        "ss_gradient_checkpointing": plan.compute.gradient_checkpointing,
        "ss_seed": plan.seed,
        "ss_tag_frequency": json.dumps(_tag_frequency(dataset)),
        **data_facts.data_facts(plan.data, dataset),
        "lorasearch_plan": plan.model_dump_json(),
        "modelspec.sai_model_spec": "1.0.0",
        "modelspec.architecture": f"{_architecture(base)}/lora",
        "modelspec.implementation": _SGM if base.family == "sdxl" else "diffusers",
        "modelspec.title": name,
        "modelspec.resolution": f"{plan.data.resolution}x{plan.data.resolution}",
        "modelspec.prediction_type": "v" if base.prediction_type == "v_prediction" else "epsilon",
    }
    return {key: str(value) for key, value in facts.items()}


def version(base: Identity) -> str:
    """``ss_base_model_version``: A1111 takes a LoRA for SDXL's if it starts with ``sdxl_``."""
    known = {"sd1": "sd_v1", "sd2": "sd_v2", "sdxl": "sdxl_base_v1-0"}
    suffix = "_v" if base.prediction_type == "v_prediction" and base.family != "sdxl" else ""
    return known[base.family] + suffix


def _architecture(base: Identity) -> str:
    if base.family == "sd2":
        size = "768-v" if base.prediction_type == "v_prediction" else "512"
        return f"stable-diffusion-v2-{size}"
    return {"sd1": "stable-diffusion-v1", "sdxl": "stable-diffusion-xl-v1-base"}[base.family]


def _text_rates(plan: TrainingPlan, base: Identity) -> object:
    """The text encoder's learning rate, or those of both."""
    if not plan.lora.text_encoder:
        return None
    shares = [plan.optimiser.text_lr_over_unet_lr, plan.optimiser.text2_share]
    rates = [plan.optimiser.unet_lr * share for share in shares[: len(TEXT_PARTS[base.family])]]
    return rates[0] if len(rates) == 1 else rates


def _tag_frequency(dataset: Dataset) -> dict[str, dict[str, int]]:
    counts: dict[str, dict[str, int]] = {}
    for i in dataset.split.train:
        example = dataset.examples[i]
        folder = counts.setdefault(example.path.parent.name, {})
        for tag in (tag.strip() for tag in example.caption.split(",")):
            folder[tag] = folder.get(tag, 0) + 1
    return counts
