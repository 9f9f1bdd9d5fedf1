"""LoRA files of any trainer: what they hold, and what keeps them from being judged."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from pathlib import Path

import torch

from studies.selection.base_outline import Outline
from trainer.bases import checkpoint_header, families
from trainer.bases.errors import BaseModelError
from trainer.bases.family import Family
from trainer.lora_files import file, formats, peft
from trainer.lora_files.algorithms import difference
from trainer.lora_files.content import Content
from trainer.lora_files.layers import LoraFileError, LowRank
from trainer.tensor_header import CONVERT, PICKLES


def examined(path: Path, base: Outline | None) -> tuple[Content | None, str | None]:
    """A file's layers, or why it cannot be judged, in a sentence with the remedy.

    Args:
        path: a file, or a folder of PEFT's.
        base: None checks only what needs no base model, and gives no layers.
    """
    if not path.exists():
        return None, f"{path}: there is no such file; name LoRA files that exist, e.g. output/*.safetensors."
    if path.suffix.lower() in PICKLES and not path.is_dir():
        return None, f"{path}: pickle files can run code and are refused; {CONVERT}."
    try:
        formats.check(path)
        return (None if base is None else fitting(path, base)), None
    except LoraFileError as error:
        return None, f"{_ended(str(error))}{_made_for(path, base)}"


def fitting(path: Path, base: Outline) -> Content:
    """The layers of a file that fits a base model.

    Raises:
        LoraFileError: it cannot be read, or does not fit.
    """
    content = formats.content(path, base.names, base.shapes)
    if not content:
        raise LoraFileError(f"{path}: the file holds no layer at all.")
    try:
        for name, layer in content.low_rank.items():
            _check_width(name, layer, base.shapes[name])
        for name, tensors in content.others.items():
            difference(name, tensors, torch.ones(base.shapes[name]))
    except LoraFileError as error:
        raise LoraFileError(f"{path}: {error}") from error
    return content


def _check_width(name: str, layer: LowRank, wanted: Sequence[int]) -> None:
    inputs, outputs = layer.down[0].numel(), len(layer.up)
    if len(wanted) == 1 or (outputs, inputs) != (wanted[0], math.prod(wanted[1:])):
        raise LoraFileError(
            f"{name} goes from {inputs} to {outputs} values, but the base model's layer from "
            f"{math.prod(wanted[1:])} to {wanted[0]}; was the LoRA made for another base?"
        )


def metadata(path: Path) -> dict[str, str]:
    """What a file, or the files of a PEFT folder, say of themselves."""
    if not path.is_dir():
        return file.read_metadata(path)
    found: dict[str, str] = {}
    for folder in peft.folders(path).values():
        found |= file.read_metadata(folder / peft.WEIGHTS)
    return found


def _made_for(path: Path, base: Outline | None) -> str:
    """For which family a file was made, where that can be told and is another one."""
    if base is None or path.is_dir():
        return ""
    try:
        shapes = checkpoint_header.shapes(path)
    except BaseModelError:
        return ""
    widths = {size[1] for name, size in shapes.items() if _reads_text(name) and len(size) > 1}
    known = families.FAMILIES.values()
    made = _marked(shapes) or [each for each in known if each.text_width in widths]
    if len(made) != 1 or made[0] == base.family:
        return ""
    return (
        f" It was made for {made[0].title}, but --base is {base.family.title}: "
        "name the base model that it was trained on."
    )


def _marked(names: Collection[str]) -> list[Family]:
    """The family that the most particular mark among the names is of."""
    marks = [(mark, each) for each in families.FAMILIES.values() for mark in each.lora.marks]
    found = [(mark, each) for mark, each in marks if any(name.startswith(mark) for name in names)]
    return [max(found, key=lambda pair: len(pair[0]))[1]] if found else []


def _reads_text(name: str) -> bool:
    flat = name.replace(".", "_")
    return "attn2_to_k" in flat and ("down_weight" in flat or "lora_A_weight" in flat)


def _ended(text: str) -> str:
    text = text.replace("?.", "?")
    return text if text.endswith((".", "?")) else f"{text}."
