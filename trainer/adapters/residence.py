"""Where a bank keeps its slots' factors: one resident tensor of weights and one of gradients, a row a slot."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from trainer.adapters.group import Layer

_ALIGNED = 16
"""Numbers to which a slot's row is padded, so that products round alike whichever slot a trial has."""

Places = Iterable[tuple[Layer, int]]
"""Layers, each with a slot's rank there."""


@dataclass(frozen=True, slots=True)
class Tenant:
    """What a slot has in the resident tensors."""

    leaves: dict[str, nn.Parameter]
    """By ``<layer>.<factor>``."""
    places: Places
    dora: bool
    """Whether it has magnitudes."""


class Residence:
    """The resident tensors, of which every layer sees its own part.

    Args:
        layers: in the order of their parts.
        device: where.
        dtype: of weights and gradients.
    """

    def __init__(self, layers: Iterable[Layer], device: torch.device, dtype: torch.dtype) -> None:
        self._layers = tuple(layers)
        self._device, self._dtype = device, dtype
        self.columns: dict[str, slice] = {}
        """Of A and B of each part of the model."""
        self.place(1)

    @property
    def slots(self) -> int:
        """For how many there is room."""
        return len(self.weights)

    def place(self, slots: int) -> None:
        """Makes the tensors anew, zero, for the ranks that the layers have room for."""
        rooms = [
            (layer, factor, layer.rank, size)
            for layer in self._layers
            for factor, size in (("down", layer.inputs), ("up", layer.outputs))
        ]
        rooms += [(layer, "magnitude", layer.magnitudes, layer.outputs) for layer in self._layers]
        width = sum(count * size for _, _, count, size in rooms)
        width = -(-width // _ALIGNED) * _ALIGNED
        self.weights = torch.zeros(slots, width, device=self._device, dtype=self._dtype)
        self.gradients = torch.zeros_like(self.weights)
        offset, self.columns = 0, {}
        for layer, factor, count, size in rooms:
            place, shape = slice(offset, offset + count * size), (slots, count, size)
            setattr(layer, factor, self.weights[:, place].view(shape))
            setattr(layer, factor + "_grad", self.gradients[:, place].view(shape))
            offset = place.stop
            if factor != "magnitude":
                part = layer.name.partition(".")[0]
                self.columns[part] = slice(self.columns.get(part, place).start, place.stop)

    def clear(self) -> None:
        """Gives all room back."""
        for layer in self._layers:
            layer.rank = layer.magnitudes = 0
        self.place(1)

    def grow(self, slots: int, wanted: Places, magnitudes: int, others: Mapping[int, Tenant]) -> None:
        """Makes room for so many slots and for these ranks in each; other slots keep their values.

        Args:
            slots: how many.
            wanted: ranks of the next slot.
            magnitudes: 1 where it has magnitudes, else 0.
            others: the open slots.
        """
        short = [
            (layer, rank) for layer, rank in wanted if rank > layer.rank or magnitudes > layer.magnitudes
        ]
        if not short and slots == self.slots:
            return
        before = {
            slot: [(leaf.data, _gradient(leaf)) for leaf in tenant.leaves.values()]
            for slot, tenant in others.items()
        }
        rooms = [(layer, layer.rank, layer.magnitudes) for layer, _ in short]
        for layer, rank in short:
            layer.rank = max(layer.rank, rank)
            layer.magnitudes = max(layer.magnitudes, magnitudes)
        try:
            self.place(slots)
        except (RuntimeError, MemoryError):
            for layer, rank, held in rooms:
                layer.rank, layer.magnitudes = rank, held
            raise
        for slot, tenant in others.items():
            self.bind(slot, tenant)
            for leaf, (value, gradient) in zip(tenant.leaves.values(), before[slot], strict=True):
                leaf.data.copy_(value)
                _gradient(leaf).copy_(gradient)

    def bind(self, slot: int, tenant: Tenant) -> None:
        """Points a slot's leaf tensors, and their gradients, at its row; those that are missing are made."""
        for layer, rank in tenant.places:
            parts: dict[str, slice | int] = {"down": slice(rank), "up": slice(rank)}
            if tenant.dora:
                parts["magnitude"] = 0
            for factor, part in parts.items():
                data: Tensor = getattr(layer, factor)[slot, part]
                leaf = tenant.leaves.setdefault(f"{layer.name}.{factor}", nn.Parameter(data))
                leaf.data = data
                leaf.grad = getattr(layer, factor + "_grad")[slot, part]


def _gradient(leaf: nn.Parameter) -> Tensor:
    assert leaf.grad is not None, "the bank presets the gradient of every leaf"
    return leaf.grad
