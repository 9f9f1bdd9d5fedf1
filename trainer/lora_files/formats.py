"""Reads LoRAs of any layout, and writes those of kohya, diffusers and PEFT."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from torch import Tensor

from trainer.bases.family import DENOISER
from trainer.files import write_whole
from trainer.lora_files import converting, diffusers, file, kohya, peft, spelling
from trainer.lora_files.algorithms import Tensors
from trainer.lora_files.content import Content, embeddings, gather, parted, plain, trainable
from trainer.lora_files.layers import Layers, LoraFileError, LowRank
from trainer.plans.compute import Precision

if TYPE_CHECKING:
    from peft import PeftConfig

Format = Literal["kohya", "diffusers", "peft"]


def check(path: Path) -> None:
    """Whether a file or folder may be a LoRA, told by its keys.

    Raises:
        LoraFileError: it is none.
    """
    if path.is_dir():
        if not peft.folders(path):
            raise LoraFileError(f"{path}: there is no {peft.CONFIG} in this folder, so it is no PEFT LoRA.")
        return
    keys = frozenset(file.names(path))
    if not any(spelling.tensor(key, keys) for key in keys):
        raise LoraFileError(
            f"{path}: these are no keys of a LoRA in the format of kohya, LyCORIS, diffusers or PEFT."
        )
    if _in_folder(keys) and not (path.parent / peft.CONFIG).is_file():
        raise LoraFileError(
            f"{path}: this is one file of a PEFT LoRA; name the folder that holds {peft.CONFIG}."
        )


def content(path: Path, names: kohya.Names, known: Iterable[str]) -> Content:
    """A LoRA of any layout and algorithm.

    Args:
        path: a file, or a folder of PEFT's.
        names: how kohya calls the base model's layers.
        known: the layers that the base model has, by the bank's names.

    Raises:
        LoraFileError: it cannot be read, or has keys that are not understood.
    """
    with _told(path):
        layers, left_out = _layers(path, names, known)
        return replace(parted(layers), embeddings=left_out)


def read(path: Path, names: kohya.Names, known: Iterable[str]) -> Layers:
    """A plain LoRA of any layout, as low-rank factors.

    Raises:
        LoraFileError: it cannot be read, belongs to another base model, or is of another algorithm.
    """
    with _told(path):
        return plain(_layers(path, names, known)[0])


def trained(path: Path, names: kohya.Names, known: Iterable[str]) -> Layers:
    """``read``, but the LoRA may be a DoRA, as packs train it.

    Raises:
        LoraFileError: it cannot be read, belongs to another base model, or is of another algorithm.
    """
    with _told(path):
        return trainable(_layers(path, names, known)[0])


def _layers(
    path: Path, names: kohya.Names, known: Iterable[str]
) -> tuple[dict[str, Tensors], tuple[str, ...]]:
    """Tensors by layer, and the names of embeddings."""
    check(path)
    tensors, settings = _tensors(path, names)
    known = tuple(known)
    try:
        gathered = gather(tensors, names, known)
    except LoraFileError:
        if (renamed := converting.converted(tensors, names.family)) is None:
            raise
        gathered = gather(renamed, names, known)
    return peft.scaled(gathered, settings), embeddings(tensors)


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Says with every error which file it is about."""
    try:
        yield
    except (LoraFileError, OSError, ValueError, KeyError) as error:
        text = str(error)
        if str(path) not in text:
            text = f"{path}: {text if text.endswith(('.', '?')) else text + '.'}"
        raise LoraFileError(text) from error


def _tensors(path: Path, names: kohya.Names) -> tuple[Mapping[str, Tensor], Mapping[str, PeftConfig]]:
    """A LoRA's tensors, and what PEFT's settings say of its parts, by the bank's names of these."""
    if path.is_dir() or _in_folder(file.names(path)):
        tensors, settings = peft.read(path if path.is_dir() else path.parent, names.folder(DENOISER))
    else:
        lora = file.read(path)
        tensors, settings = lora.tensors, diffusers.settings(lora.metadata)
    return tensors, {names.part(folder): own for folder, own in settings.items()}


def _in_folder(keys: Iterable[str]) -> bool:
    """Whether it is a file out of PEFT's folder: its settings, alpha among them, lie beside it."""
    return any(key.startswith(peft.PREFIX) for key in keys)


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
        tensors, own = diffusers.write(_in_folders(layers, names))
        file.write(path, tensors, {**metadata, **own}, precision)
    else:
        for part, (tensors, settings) in peft.write(_in_folders(layers, names)).items():
            file.write(path / part / peft.WEIGHTS, tensors, metadata, precision)
            write_whole(path / part / peft.CONFIG, settings.encode())


def _in_folders(layers: Mapping[str, LowRank], names: kohya.Names) -> dict[str, LowRank]:
    """Layers by the folders of their networks in place of the bank's parts."""
    found = {}
    for name, layer in layers.items():
        part, _, path = name.partition(".")
        found[f"{names.folder(part)}.{path}"] = layer
    return found
