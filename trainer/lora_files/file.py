"""LoRA files: a slot's factors and metadata written, read, and put into a slot again."""

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
from trainer.adapters.bank import AdapterBank
from trainer.bases.base_model import DTYPES
from trainer.files import write_whole
from trainer.lora_files import kohya, short_hash
from trainer.lora_files.content import gather, trainable
from trainer.lora_files.layers import LoraFileError as LoraFileError
from trainer.lora_files.layers import from_state, slot_state
from trainer.plans.compute import Precision
from trainer.tensor_header import CONVERT, PICKLES, HeaderError


def read_metadata(path: Path) -> dict[str, str]:
    """What a safetensors file says of itself, without reading its tensors; empty if it says nothing.

    Raises:
        OSError: the file cannot be read.
    """
    try:
        return dict(tensor_header.read(path).metadata)
    except ValueError:
        return {}


_EXACT = (".alpha", ".dora_scale", ".lora_magnitude_vector", ".lora_magnitude_vector.weight")
"""Ends of keys whose tensors are never rounded."""


@dataclass(frozen=True, slots=True)
class Lora:
    """The content of a LoRA file."""

    tensors: dict[str, Tensor]
    metadata: dict[str, str]


def slot_keys(bank: AdapterBank, slot: int, names: kohya.Names) -> dict[str, Tensor]:
    """All that a slot's file holds: LoRA factors, or what LyCORIS writes for its algorithm."""
    alone = bank.unpacked(slot)
    if alone is None:
        layers = from_state(bank.state(slot), bank.scales(slot), bank.kernels)
        return kohya.write(layers, names)
    return {f"{names.stem(layer)}.{key}": value for layer, key, value in alone.tensors()}


def load_slot(bank: AdapterBank, slot: int, tensors: Mapping[str, Tensor], names: kohya.Names) -> None:
    """Puts a file's tensors into an open slot.

    Raises:
        LoraFileError: a key names a layer that the base model lacks, or the file is of another algorithm.
    """
    alone = bank.unpacked(slot)
    if alone is None:
        layers = trainable(gather(tensors, names, bank.layers))
        bank.load(slot, slot_state(layers, bank.state(slot), bank.scales(slot)))
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

    Alphas and DoRA's magnitudes stay in float32: rounded to half precision the ones would change the LoRA's scale, the
    others the base model's weights by as much as a LoRA does.
    """
    from safetensors.torch import save

    stored = {
        key: value if key.endswith(_EXACT) else value.to(DTYPES[precision]).contiguous()
        for key, value in sorted(tensors.items())
    }
    return _hashed(save(stored), metadata)


def relabelled(path: Path, metadata: Mapping[str, str]) -> bytes:
    """A file with other metadata, and the hashes of WebUIs that it then has."""
    return _hashed(path.read_bytes(), metadata)


def _hashed(file: bytes, metadata: Mapping[str, str]) -> bytes:
    """A safetensors file with metadata, ``sshs_*`` among them; the short hash is of the file with ``ss_*`` alone."""
    bare = _with_metadata(file, {key: text for key, text in metadata.items() if key[:3] == "ss_"})
    area = bare[8 + int.from_bytes(bare[:8], "little") :]
    hashes = {
        "sshs_model_hash": hashlib.sha256(area).hexdigest(),
        "sshs_legacy_hash": short_hash.of(bare[short_hash.COVERED]),
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
