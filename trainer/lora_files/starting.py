"""Another LoRA as the start of a trial's own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn

from trainer.adapters.bank import AdapterBank
from trainer.lora_files import formats
from trainer.lora_files.algorithms import difference
from trainer.lora_files.content import Content
from trainer.lora_files.factoring import MOST_ERROR, Factored, factored
from trainer.lora_files.kohya import Names
from trainer.lora_files.layers import Layers, LoraFileError, LowRank, slot_state


def start(bank: AdapterBank, slot: int, file: Path, names: Names) -> None:
    """Lets an open slot begin at a file's weights; layers and dimensions that the file lacks begin as new ones.

    Where alpha / rank differs, B is multiplied, so that delta W is the file's. Differences of other algorithms or of a
    larger rank are factored (``factoring``), if factors of the slot's rank miss no more of them than rounding does.

    Args:
        bank: where the slot is.
        slot: its number.
        file: a LoRA of any layout and algorithm.
        names: how kohya calls the base model's layers.

    Raises:
        LoraFileError: the file cannot be read, has other layers than the slot, or is no LoRA of the slot's ranks.
    """
    state, scales = bank.state(slot), bank.scales(slot)
    try:
        layers = _beginning(bank, formats.content(file, names, bank.layers), state, file)
        found = slot_state(layers, state, scales)
    except LoraFileError as error:
        raise LoraFileError(f"lora.start: {error}") from error
    for name, layer in layers.items():
        found[f"{name}.down"][layer.rank :] = state[f"{name}.down"][layer.rank :]
    mine = {f"{name}.{factor}" for name in layers for factor in ("down", "up")}
    bank.load(slot, {name: found[name] if name in mine else value for name, value in state.items()})


def _beginning(bank: AdapterBank, content: Content, state: Mapping[str, Tensor], file: Path) -> Layers:
    """A file's layers as factors of at most the slot's ranks."""
    layers, missed = dict[str, LowRank](), dict[str, Factored]()
    for name in content.layers:
        if f"{name}.down" not in state:
            raise LoraFileError(f"{file} has the layer {name!r}, which the plan does not adapt.")
        rank = len(state[f"{name}.down"])
        plain = content.low_rank.get(name)
        if plain is not None and plain.rank <= rank:
            layers[name] = plain
            continue
        found = factored(_whole(bank.frozen(name), name, content, file), rank)
        layers[name] = found.layer
        if found.error > MOST_ERROR:
            missed[name] = found
    if missed:
        worst = max(missed, key=lambda name: missed[name].error)
        rank = missed[worst].layer.rank
        raise LoraFileError(
            f"{file} is no LoRA of the plan's rank: at {len(missed)} of {len(layers)} layers more than "
            f"{MOST_ERROR:.1%} of its difference would be lost, at {worst} {missed[worst].error:.0%} with rank {rank}; "
            f"rank {max(one.needed for one in missed.values())} would hold it."
        )
    return layers


def _whole(module: nn.Module, name: str, content: Content, file: Path) -> Tensor:
    """What a file adds to a layer's weight."""
    plain = content.low_rank.get(name)
    if plain is not None:
        return plain.scale * (plain.up.flatten(1).double() @ plain.down.flatten(1).double())
    own = dict(module.named_parameters())
    weight, bias = difference(name, content.others[name], own["weight"], own.get("bias"))
    if bias is not None and bool(bias.any()):
        raise LoraFileError(f"{file} changes the bias of {name}, which a LoRA does not have.")
    return weight
