"""LoRA files of any trainer: what keeps them from being judged, and their way into a slot."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from trainer.adapters.bank import AdapterBank
from trainer.adapters.shape import Shape
from trainer.bases import checkpoint_header, skeleton
from trainer.bases.errors import BaseModelError
from trainer.bases.families import TITLES, Family
from trainer.bases.find import Source
from trainer.lora_files import file, formats, lycoris, peft
from trainer.lora_files.kohya import Names
from trainer.lora_files.layers import Layers, LoraFileError, slot_state
from trainer.lora_files.lycoris import Lycoris
from trainer.tensor_header import CONVERT, PICKLES

_WIDTHS: Mapping[int, Family] = {768: "sd1", 1024: "sd2", 2048: "sdxl"}
"""Width of the text that cross-attention reads, by family."""
_SDXL = ("lora_te2_", "text_encoder_2.", "lora_unet_input_blocks_")
"""What keys of LoRAs for SDXL alone begin with."""


Content = Layers | Lycoris
"""What a file holds: low-rank factors, or what only LyCORIS reads."""


@dataclass(frozen=True, slots=True)
class Outline:
    """A base model's layers without its weights."""

    family: Family
    names: Names
    shapes: Mapping[str, tuple[int, ...]]
    """Of every layer that a LoRA may adapt: the weight's shape, by the bank's name."""
    in_blocks: frozenset[str]
    """Layers of convolution blocks, which slots adapt only with a convolution rank."""


def outline(source: Source) -> Outline:
    """Reads a base model's configuration."""
    made = skeleton.networks(source)
    known, plain = skeleton.adaptable(made), set(skeleton.layers(made))
    shapes = {name: _weight(made, name) for name in known}
    names = Names.of(source.family, made["unet"].config)
    return Outline(source.family, names, shapes, frozenset(set(known) - plain))


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
        formats.detect(path)
        return (None if base is None else fitting(path, base)), None
    except LoraFileError as error:
        return None, f"{_ended(str(error))}{_made_for(path, base)}"


def fitting(path: Path, base: Outline) -> Content:
    """The layers of a file that fits a base model.

    Raises:
        LoraFileError: it cannot be read, or does not fit.
    """
    if not path.is_dir() and lycoris.is_lycoris(file.names(path)):
        return _fitting_lycoris(path, base)
    layers = formats.read(path, base.names, tuple(base.shapes))
    if not layers:
        raise LoraFileError(f"{path}: the file holds no layer at all.")
    for name, layer in layers.items():
        wanted = base.shapes[name]
        inputs, outputs = layer.down[0].numel(), len(layer.up)
        if (outputs, inputs) != (wanted[0], math.prod(wanted[1:])):
            raise LoraFileError(
                f"{path}: {name} goes from {inputs} to {outputs} values, but the base model's layer from "
                f"{math.prod(wanted[1:])} to {wanted[0]}; was the LoRA made for another base?"
            )
    return layers


def _fitting_lycoris(path: Path, base: Outline) -> Lycoris:
    """Every layer is worked out once on a weight of that shape: what does not fit is told before a base is loaded."""
    try:
        found = lycoris.grouped(file.read(path).tensors, base.names.layers(base.shapes))
        for layer, tensors in found.tensors.items():
            lycoris.difference(layer, tensors, _blank(base.shapes[layer]))
    except LoraFileError as error:
        raise LoraFileError(f"{path}: {error}") from error
    return found


def _blank(shape: Sequence[int]) -> nn.Module:
    """A layer with a drawn weight of that shape."""
    made: nn.Module = nn.Linear(shape[1], shape[0])
    if len(shape) == 4:
        made = nn.Conv2d(shape[1], shape[0], (shape[2], shape[3]), padding=shape[2] // 2)
    return made.requires_grad_(False)


def metadata(path: Path) -> dict[str, str]:
    """What a file, or the files of a PEFT folder, say of themselves."""
    if not path.is_dir():
        return file.read_metadata(path)
    found: dict[str, str] = {}
    for folder in peft.folders(path).values():
        found |= file.read_metadata(folder / peft.WEIGHTS)
    return found


def shape(layers: Layers, base: Outline) -> Shape:
    """A slot in which all layers have room, whatever their ranks."""
    plain = [layer.rank for layer in layers.values() if layer.down.ndim < 4 or layer.down.shape[-1] == 1]
    wide = [layer.rank for layer in layers.values() if layer.down.ndim == 4 and layer.down.shape[-1] > 1]
    conv_rank = max(wide, default=int(not base.in_blocks.isdisjoint(layers)))
    return Shape(max(plain, default=1), 1.0, _parts(layers), conv_rank)


def _parts(layers: Iterable[str]) -> tuple[str, ...]:
    """Which models are adapted."""
    parts = dict.fromkeys(name.partition(".")[0] for name in layers)
    if "text_encoder_2" in parts:
        parts["text_encoder"] = None
    return tuple(parts)


def fill(bank: AdapterBank, slot: int, layers: Content, base: Outline) -> None:
    """Opens a slot with a file's weights; what LyCORIS reads becomes differences of whole weights."""
    if isinstance(layers, Lycoris):
        _fill_lycoris(bank, slot, layers, base)
        return
    bank.open(slot, shape(layers, base), 0)
    bank.load(slot, slot_state(layers, bank.state(slot), bank.scales(slot)))


def _fill_lycoris(bank: AdapterBank, slot: int, found: Lycoris, base: Outline) -> None:
    conv_rank = int(not base.in_blocks.isdisjoint(found.tensors))
    bank.open(slot, Shape(1, 1.0, _parts(found.tensors), conv_rank, algorithm="full"), 0)
    state = bank.state(slot)
    for layer, tensors in found.tensors.items():
        weight, bias = lycoris.difference(layer, tensors, bank.frozen(layer))
        state[f"{layer}.weight"] = weight
        if bias is not None:
            state[f"{layer}.bias"] = bias
    bank.load(slot, state)


def largest_rank(layers: Content) -> int:
    """What is shown as a file's rank."""
    if isinstance(layers, Lycoris):
        return max(lycoris.rank(tensors) for tensors in layers.tensors.values())
    return max(layer.rank for layer in layers.values())


def values(layers: Content, base: Outline) -> int:
    """How many numbers a file's slot holds."""
    if isinstance(layers, Lycoris):
        return sum(math.prod(base.shapes[layer]) for layer in layers.tensors)
    return sum(layer.down.numel() + layer.up.numel() for layer in layers.values())


def _weight(made: Mapping[str, nn.Module], name: str) -> tuple[int, ...]:
    part, _, path = name.partition(".")
    return tuple(made[part].get_submodule(path).get_parameter("weight").shape)


def _made_for(path: Path, base: Outline | None) -> str:
    """For which family a file was made, where that can be told and is another one."""
    if base is None or path.is_dir():
        return ""
    try:
        shapes = checkpoint_header.shapes(path)
    except BaseModelError:
        return ""
    widths = {size[1] for name, size in shapes.items() if _reads_text(name) and len(size) > 1}
    families: Sequence[Family] = [_WIDTHS[width] for width in widths if width in _WIDTHS]
    if any(name.startswith(_SDXL) for name in shapes):
        families = ["sdxl"]
    if len(families) != 1 or families[0] == base.family:
        return ""
    made, here = TITLES[families[0]], TITLES[base.family]
    return f" It was made for {made}, but --base is {here}: name the base model that it was trained on."


def _reads_text(name: str) -> bool:
    flat = name.replace(".", "_")
    return "attn2_to_k" in flat and ("down_weight" in flat or "lora_A_weight" in flat)


def _ended(text: str) -> str:
    text = text.replace("?.", "?")
    return text if text.endswith((".", "?")) else f"{text}."
