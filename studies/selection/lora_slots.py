"""The way of LoRA files of any trainer into a slot."""

from __future__ import annotations

import math
from collections.abc import Iterable

from studies.selection.base_outline import Outline
from studies.selection.lora_files import Content
from trainer.adapters.bank import AdapterBank
from trainer.adapters.shape import Shape
from trainer.lora_files import lycoris
from trainer.lora_files.layers import Layers, slot_state
from trainer.lora_files.lycoris import Lycoris


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


def values(layers: Content, base: Outline) -> int:
    """How many numbers a file's slot holds."""
    if isinstance(layers, Lycoris):
        return sum(math.prod(base.shapes[layer]) for layer in layers.tensors)
    return sum(layer.down.numel() + layer.up.numel() for layer in layers.values())
