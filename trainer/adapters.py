"""Many LoRAs on one frozen model in one forward pass.

``AdapterBank`` puts the low-rank terms of many trials ("slots") beside the frozen layers of a model. Each row
of a batch belongs to one slot, or to none. All slots' weights lie in one resident tensor, and so do their
gradients: a layer's term for any number of slots is two batched matrix products, nothing is stacked or split,
and each slot's parameters are ordinary leaf tensors (views) that its own optimiser steps.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from trainer.low_rank import BankedLinear, BankedPointwise, Group, Layer, LowRankLinear
from trainer.seeds import generator

Row = int | None
"""The slot that a batch row belongs to; None is the bare base model."""

_ALIGNED = 16
"""Numbers to which a slot's row is padded, so that products round alike whichever slot a trial has."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What a slot needs from the bank."""

    rank: int
    scale: float
    """alpha / rank."""
    prefixes: tuple[str, ...]
    """Which parts get a LoRA, by the first word of the layer name: "unet", "text_encoder", "text_encoder_2"."""


class AdapterBank:
    """LoRA slots beside the Linear and 1x1 Conv2d layers of frozen models.

    Args:
        models: the frozen models by part name; their target layers are wrapped in place.
        targets: names of the layers inside each model that get a low-rank term.
        capacity: how many slots there may be; memory is taken as they are opened.
    """

    def __init__(
        self, models: Mapping[str, nn.Module], targets: Mapping[str, Sequence[str]], capacity: int
    ) -> None:
        self.capacity = capacity
        self._layers: dict[str, Layer] = {}
        self._shapes: dict[int, Shape] = {}
        self._leaves: dict[int, dict[str, nn.Parameter]] = {}
        self._active: tuple[Group, ...] = ()
        parameter = next(next(iter(models.values())).parameters())
        self.device = parameter.device
        self.dtype = torch.float64 if parameter.dtype == torch.float64 else torch.float32
        self.anchor = torch.zeros((), device=self.device, requires_grad=True)
        for part, model in models.items():
            for name in targets[part]:
                self._wrap(part, model, name)
        self._rank = self._slots = 0
        self._reserve(1, 1)

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of all adapted layers, ``<part>.<path>``."""
        return tuple(self._layers)

    @property
    def kernels(self) -> dict[str, tuple[int, int]]:
        """Height and width of the kernels of those adapted layers that are convolutions."""
        return {name: (1, 1) for name, layer in self._layers.items() if layer.pointwise}

    @contextmanager
    def rows(self, rows: Sequence[Row]) -> Iterator[None]:
        """Says which slot each row of the batch belongs to, for forward and backward passes inside.

        Fastest when rows of a slot stand together and slots of equal batch size and rank are neighbours.
        """
        before, self._active = self._active, self._groups(rows)
        try:
            yield
        finally:
            self._active = before

    def open(self, slot: int, shape: Shape, seed: int) -> None:
        """Starts a new LoRA: A Kaiming-uniform with a = sqrt(5) (He et al. 2015), B zero, gradients zero.

        The draw depends on seed and layer name alone; a smaller rank takes the first rows of a larger one.
        """
        if slot in self._shapes:
            raise ValueError(f"slot {slot} is already open")
        self._reserve(max(shape.rank, self._rank), max(slot + 1, self._slots))
        self._weights[slot].zero_()
        self._gradients[slot].zero_()
        self._shapes[slot] = shape
        for layer in self._of(shape):
            bound = 1 / math.sqrt(layer.inputs)
            draw = torch.rand(shape.rank, layer.inputs, generator=generator(seed, layer.name))
            layer.down[slot, : shape.rank] = (draw * 2 - 1).to(layer.down) * bound
        self._leaves[slot] = {}
        self._bind(slot)

    def close(self, slot: int) -> None:
        """Frees the slot."""
        del self._shapes[slot], self._leaves[slot]

    def parameters(self, slot: int, part: str) -> list[nn.Parameter]:
        """The leaf tensors of a slot in one part ("unet", "text_encoder"), in layer order."""
        return [leaf for name, leaf in self._leaves[slot].items() if name.startswith(part + ".")]

    def leaves(self, slot: int) -> Mapping[str, nn.Parameter]:
        """The leaf tensors of a slot by name: ``<layer>.down`` (rank, inputs), ``<layer>.up`` (rank, outputs)."""
        return self._leaves[slot]

    def gradients(self, slot: int) -> Tensor:
        """All gradients of the slot in one flat view; unused places are zero."""
        return self._gradients[slot]

    def state(self, slot: int) -> dict[str, Tensor]:
        """Copies of ``<layer>.down`` (rank, inputs) and ``<layer>.up`` (outputs, rank), on the CPU."""
        return {
            name: (leaf.detach().T if name.endswith(".up") else leaf.detach())
            .to("cpu", copy=True)
            .contiguous()
            for name, leaf in self._leaves[slot].items()
        }

    def load(self, slot: int, state: Mapping[str, Tensor]) -> None:
        """Puts weights from ``state`` into an open slot.

        Raises:
            ValueError: the names do not match the slot's layers.
        """
        leaves = self._leaves[slot]
        if leaves.keys() != state.keys():
            odd = sorted(leaves.keys() ^ state.keys())
            raise ValueError(f"the LoRA's layers differ from the slot's: {', '.join(odd[:4])} …")
        with torch.no_grad():
            for name, leaf in leaves.items():
                leaf.copy_(state[name].T if name.endswith(".up") else state[name])

    def shape(self, slot: int) -> Shape:
        """The shape that the slot was opened with."""
        return self._shapes[slot]

    def apply(self, layer: Layer, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """A frozen layer's output plus its rows' low-rank terms; x: shape (rows, tokens, inputs)."""
        result: Tensor = LowRankLinear.apply(  # type: ignore[no-untyped-call]
            x.contiguous(), self.anchor, weight, bias, layer, self._active
        )
        return result

    def _wrap(self, part: str, model: nn.Module, name: str) -> None:
        parent_name, _, child = name.rpartition(".")
        parent = model.get_submodule(parent_name)
        inner = parent.get_submodule(child)
        if isinstance(inner, nn.Linear):
            layer = Layer(f"{part}.{name}", inner.in_features, inner.out_features, False)
            wrapped: nn.Module = BankedLinear(inner, layer, self.apply)
        elif isinstance(inner, nn.Conv2d) and inner.kernel_size == (1, 1):
            layer = Layer(f"{part}.{name}", inner.in_channels, inner.out_channels, True)
            wrapped = BankedPointwise(inner, layer, self.apply)
        else:
            raise TypeError(f"{name} is a {type(inner).__name__}; a LoRA layer must be Linear or 1x1 Conv2d")
        self._layers[layer.name] = layer
        setattr(parent, child, wrapped)

    def _of(self, shape: Shape) -> Iterator[Layer]:
        return (layer for layer in self._layers.values() if layer.name.split(".")[0] in shape.prefixes)

    def _reserve(self, rank: int, slots: int) -> None:
        """Grows the resident tensors to so many slots of so large a rank."""
        if (rank, slots) == (self._rank, self._slots):
            return
        self._rank, self._slots = rank, slots
        before = {
            slot: [(leaf.data, _gradient(leaf)) for leaf in leaves.values()]
            for slot, leaves in self._leaves.items()
        }
        width = sum(rank * (layer.inputs + layer.outputs) for layer in self._layers.values())
        width = -(-width // _ALIGNED) * _ALIGNED
        self._weights = torch.zeros(slots, width, device=self.device, dtype=self.dtype)
        self._gradients = torch.zeros_like(self._weights)
        offset = 0
        for layer in self._layers.values():
            for factor, size in (("down", layer.inputs), ("up", layer.outputs)):
                place = slice(offset, offset + rank * size)
                setattr(layer, factor, self._weights[:, place].view(-1, rank, size))
                setattr(layer, factor + "_grad", self._gradients[:, place].view(-1, rank, size))
                offset = place.stop
        for slot, leaves in before.items():
            self._bind(slot)
            for leaf, (value, gradient) in zip(self._leaves[slot].values(), leaves, strict=True):
                leaf.data.copy_(value)
                _gradient(leaf).copy_(gradient)

    def _bind(self, slot: int) -> None:
        """Points the slot's leaf tensors, and their gradients, at their place in the bank."""
        shape, leaves = self._shapes[slot], self._leaves[slot]
        for layer in self._of(shape):
            for factor in ("down", "up"):
                data = getattr(layer, factor)[slot, : shape.rank]
                leaf = leaves.setdefault(f"{layer.name}.{factor}", nn.Parameter(data))
                leaf.data = data
                leaf.grad = getattr(layer, factor + "_grad")[slot, : shape.rank]

    def _groups(self, rows: Sequence[Row]) -> tuple[Group, ...]:
        runs: list[tuple[int, int, int]] = []
        start = 0
        for stop in range(1, len(rows) + 1):
            slot = rows[start]
            if stop == len(rows) or rows[stop] != slot:
                if slot is not None:
                    runs.append((slot, start, stop))
                start = stop
        groups: list[list[tuple[int, int, int]]] = []
        for run in runs:
            if groups and self._belongs(groups[-1], run):
                groups[-1].append(run)
            else:
                groups.append([run])
        return tuple(self._group(members) for members in groups)

    def _belongs(self, group: list[tuple[int, int, int]], run: tuple[int, int, int]) -> bool:
        slot, start, stop = run
        _, last_start, last_stop = group[-1]
        first_rank = self._shapes[group[0][0]].rank
        wasteful = self._shapes[slot].rank > 2 * first_rank
        return start == last_stop and stop - start == last_stop - last_start and not wasteful

    def _group(self, runs: list[tuple[int, int, int]]) -> Group:
        slots = tuple(slot for slot, _, _ in runs)
        consecutive = slots == tuple(range(slots[0], slots[0] + len(slots)))
        index: Tensor | slice = (
            slice(slots[0], slots[-1] + 1) if consecutive else torch.tensor(slots, device=self.device)
        )
        scale = torch.tensor(
            [self._shapes[slot].scale for slot in slots], device=self.device, dtype=self.dtype
        )
        rank = max(self._shapes[slot].rank for slot in slots)
        return Group(runs[0][1], runs[-1][2], slots, rank, index, scale.view(-1, 1, 1))


def _gradient(leaf: nn.Parameter) -> Tensor:
    assert leaf.grad is not None, "the bank presets the gradient of every leaf"
    return leaf.grad
