"""Reads and writes LoRAs of any of the three layouts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

from torch import Tensor

from trainer.files import write_whole
from trainer.lora_files import diffusers, file, kohya, peft
from trainer.lora_files.layers import Layers, LoraFileError, LowRank
from trainer.plans.compute import Precision

Format = Literal["kohya", "diffusers", "peft"]


def detect(path: Path) -> Format:
    """Which layout a LoRA file or folder has.

    Raises:
        LoraFileError: none of the three.
    """
    if path.is_dir():
        if peft.folders(path):
            return "peft"
        raise LoraFileError(f"{path}: there is no {peft.CONFIG} in this folder, so it is no PEFT LoRA.")
    keys = file.names(path)
    if any(key.startswith(("lora_unet_", "lora_te")) for key in keys):
        return "kohya"
    if any(key.startswith(("unet.", "text_encoder.", "text_encoder_2.")) for key in keys):
        return "diffusers"
    if any(key.startswith("base_model.model.") for key in keys):
        raise LoraFileError(
            f"{path}: this is one file of a PEFT LoRA; name the folder that holds {peft.CONFIG}."
        )
    raise LoraFileError(f"{path}: these are no keys of a LoRA in the format of kohya, diffusers or PEFT.")


def read(path: Path, names: kohya.Names, known: Iterable[str]) -> Layers:
    """A LoRA of any layout under the bank's names.

    Args:
        path: a file, or a folder of PEFT's.
        names: how kohya calls the base model's layers.
        known: the bank's layer names.

    Raises:
        LoraFileError: it cannot be read, or belongs to another base model.
    """
    known = tuple(known)
    try:
        match detect(path):
            case "kohya":
                return kohya.read(file.read(path).tensors, names.layers(known))
            case "diffusers":
                lora = file.read(path)
                return diffusers.read(lora.tensors, lora.metadata, known)
            case "peft":
                return peft.read(_parts(path), known)
    except (LoraFileError, OSError, ValueError, KeyError) as error:
        text = str(error)
        raise LoraFileError(text if str(path) in text else f"{path}: {text.rstrip('.')}.") from error


def write(
    path: Path,
    layers: Mapping[str, LowRank],
    layout: Format,
    names: kohya.Names,
    metadata: Mapping[str, str],
    precision: Precision,
) -> None:
    """Writes a LoRA: a file, or for PEFT a folder with one sub-folder for each model.

    Args:
        path: file, or folder for PEFT.
        layers: the LoRA under the bank's names.
        layout: which keys.
        names: how kohya calls the base model's layers.
        metadata: ``ss_*`` and the like; PEFT's files carry them too.
        precision: of the factors.
    """
    if layout == "kohya":
        file.write(path, kohya.write(layers, names), metadata, precision)
    elif layout == "diffusers":
        tensors, own = diffusers.write(layers)
        file.write(path, tensors, {**metadata, **own}, precision)
    else:
        for part, (tensors, settings) in peft.write(layers).items():
            file.write(path / part / peft.WEIGHTS, tensors, metadata, precision)
            write_whole(path / part / peft.CONFIG, settings.encode())


def _parts(path: Path) -> dict[str, tuple[dict[str, Tensor], dict[str, Any]]]:
    return {
        part: (
            file.read(folder / peft.WEIGHTS).tensors,
            peft.settings((folder / peft.CONFIG).read_text(encoding="utf-8")),
        )
        for part, folder in peft.folders(path).items()
    }
