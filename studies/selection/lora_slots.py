"""The way of LoRA files of any trainer into a slot."""

from __future__ import annotations

import math
from collections.abc import Iterable

from studies.selection.base_outline import Outline
from trainer.adapters.bank import AdapterBank
from trainer.adapters.fixed import LowRankTerm, Term, WholeTerm
from trainer.adapters.shape import Shape
from trainer.lora_files.algorithms import difference
from trainer.lora_files.content import Content
from trainer.lora_files.layers import Layers, slot_state


def shape(layers: Layers, base: Outline) -> Shape:
    """A slot in which all layers have room, whatever their ranks."""
    plain = [layer.rank for layer in layers.values() if layer.down.ndim < 4 or layer.down.shape[-1] == 1]
    wide = [layer.rank for layer in layers.values() if layer.down.ndim == 4 and layer.down.shape[-1] > 1]
    conv_rank = max(wide, default=int(not base.beside.isdisjoint(layers)))
    return Shape(max(plain, default=1), 1.0, _parts(layers), conv_rank)


def _parts(layers: Iterable[str]) -> tuple[str, ...]:
    """Which models are adapted."""
    parts = dict.fromkeys(name.partition(".")[0] for name in layers)
    if "text_encoder_2" in parts:
        parts["text_encoder"] = None
    return tuple(parts)


def fill(bank: AdapterBank, slot: int, content: Content, base: Outline) -> None:
    """Opens a slot with a file's weights: packed if they are plain LoRA, else as terms of its own."""
    if content.others:
        bank.hold(slot, Shape(1, 1.0, _parts(content.layers)), _terms(bank, content))
        return
    bank.open(slot, shape(content.low_rank, base), 0)
    bank.load(slot, slot_state(content.low_rank, bank.state(slot), bank.scales(slot)))


def _terms(bank: AdapterBank, content: Content) -> dict[str, Term]:
    terms: dict[str, Term] = {}
    for name, layer in content.low_rank.items():
        up = layer.up.to(bank.device, bank.dtype) * layer.scale
        terms[name] = LowRankTerm(bank.frozen(name), layer.down.to(bank.device, bank.dtype), up)
    for name, tensors in content.others.items():
        inner = bank.frozen(name)
        frozen = inner.get_parameter("weight")
        weight, bias = difference(name, tensors, frozen, dict(inner.named_parameters()).get("bias"))
        terms[name] = WholeTerm(inner, weight.to(bank.device), None if bias is None else bias.to(bank.device))
    return terms


def values(content: Content, base: Outline) -> int:
    """How many numbers a file's slot holds."""
    factors = sum(layer.down.numel() + layer.up.numel() for layer in content.low_rank.values())
    return factors + sum(math.prod(base.shapes[layer]) for layer in content.others)
