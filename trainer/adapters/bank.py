"""Many LoRAs on one frozen model in one forward pass.

``AdapterBank`` puts the low-rank terms of many trials ("slots") beside the frozen layers of a model. Each row
of a batch belongs to one slot, or to none. All slots' weights lie in one resident tensor, and so do their
gradients: a layer's term for any number of slots is two batched matrix products, nothing is stacked or split,
and each slot's parameters are ordinary leaf tensors (views) that its own optimiser steps.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from trainer.adapters.convolution import BankedConv, LowRankConv, Window
from trainer.adapters.dora import Decompose, norms
from trainer.adapters.fixed import FixedSlot, Term
from trainer.adapters.group import Group, Layer
from trainer.adapters.grouping import Presentations, Resident, Slot, groups, room_for, runs
from trainer.adapters.grouping import Row as Row
from trainer.adapters.linear import (
    BankedLinear,
    BankedNorm,
    BankedPointwise,
    LowRankLinear,
)
from trainer.adapters.lycoris import LycorisSlot
from trainer.adapters.residence import Residence, Tenant
from trainer.adapters.shape import Shape as Shape
from trainer.adapters.shape import check_shape
from trainer.adapters.stored import Stored
from trainer.seeds import generator

_REMEMBERED = 64
"""Make-ups of a batch whose groups are kept."""


class AdapterBank:
    """LoRA slots beside the Linear and Conv2d layers of frozen models.

    Args:
        models: the frozen models by part name; their target layers are wrapped in place.
        targets: names of the layers inside each model that get a low-rank term.
        capacity: how many slots there may be; memory is taken as they are opened.
        convolutions: names of the layers that only slots with a convolution rank adapt, 3x3 ones among them.
        norms: names of the layers that only slots of fixed terms adapt.
    """

    def __init__(
        self,
        models: Mapping[str, nn.Module],
        targets: Mapping[str, Sequence[str]],
        capacity: int,
        convolutions: Mapping[str, Sequence[str]] | None = None,
        norms: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        self.capacity = capacity
        self._layers: dict[str, Layer] = {}
        self._open: dict[int, Slot] = {}
        self._leaves: dict[int, dict[str, nn.Parameter]] = {}
        self._inner: dict[str, nn.Module] = {}
        self._unpacked: dict[int, LycorisSlot | FixedSlot] = {}
        self._active: tuple[Group, ...] = ()
        self._rows = 0
        self._alone: tuple[tuple[int, int, LycorisSlot | FixedSlot, int | None], ...] = ()
        self._partial = self._decomposed = self._compiled = False
        parameter = next(next(iter(models.values())).parameters())
        self.device = parameter.device
        self.dtype = torch.float64 if parameter.dtype == torch.float64 else torch.float32
        self._base_dtype = parameter.dtype
        self.ragged = _launch_bound(parameter)
        """Whether slots with unequally many rows, and of any ranks, are computed together: fewer launches."""
        self.anchor = torch.zeros((), device=self.device, requires_grad=True)
        for part, model in models.items():
            for name in targets[part]:
                self._wrap(part, model, name, False)
            for name in (convolutions or {}).get(part, ()):
                self._wrap(part, model, name, True)
            for name in (norms or {}).get(part, ()):
                self._wrap_norm(part, model, name)
        self._lasting: dict[tuple[Row, ...], tuple[Group, ...]] = {}
        self._residence = Residence(self._layers.values(), self.device, self.dtype)

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of all adapted layers, ``<part>.<path>``."""
        return tuple(self._layers)

    @property
    def kernels(self) -> dict[str, tuple[int, int]]:
        """Height and width of the kernels of those adapted layers that are convolutions."""
        found = (layer for layer in self._layers.values() if layer.pointwise or layer.kernel > 1)
        return {layer.name: (layer.kernel, layer.kernel) for layer in found}

    def compile(self, model: Any, backend: str = "inductor") -> None:
        """Compiles the repeated blocks of one of diffusers' models, for packs of any make.

        Passes with rows of DoRA, or of slots that are not packed, go without.
        """
        self._compiled = True
        model.compile_repeated_blocks(fullgraph=True, dynamic=True, backend=backend)

    @contextmanager
    def rows(self, rows: Sequence[Row], presentations: Presentations = None) -> Iterator[None]:
        """Says which slot each row of the batch belongs to, for forward and backward passes inside.

        Fastest when rows of a slot stand together and slots of equal batch size and rank are neighbours.

        Args:
            rows: slot of each row.
            presentations: what each row presents, in training; its dropout is drawn by it. None drops nothing.
        """
        before = self._active, self._partial, self._decomposed, self._alone, self._rows
        self._rows = len(rows)
        packed = [None if row in self._unpacked else row for row in rows]
        self._active = self._groups(packed, presentations)
        self._partial = any(group.layers is not None for group in self._active)
        self._decomposed = any(group.decomposed for group in self._active)
        self._alone = tuple(
            (
                places[0],
                places[-1] + 1,
                self._unpacked[slot],
                None if presentations is None else presentations[places[0]],
            )
            for slot, places in runs(rows)
            if slot in self._unpacked
        )
        unusual = self._compiled and (self._alone or self._decomposed)
        try:
            with torch.compiler.set_stance("force_eager") if unusual else nullcontext():
                yield
        finally:
            self._active, self._partial, self._decomposed, self._alone, self._rows = before

    def _groups(self, rows: Sequence[Row], presentations: Presentations) -> tuple[Group, ...]:
        """The rows in groups; those that last are made once while the same slots are open."""
        key, home = tuple(rows), self._residence
        thinned = presentations is not None and any(
            self._open[row].shape.dropout for row in {*rows} if row is not None
        )
        if key in self._lasting and not thinned:
            return self._lasting[key]
        resident = Resident(home.weights, home.columns, self._base_dtype, self.ragged)
        found = groups(rows, presentations, self._open, resident)
        if all(group.lasting for group in found):
            if len(self._lasting) == _REMEMBERED:
                self._lasting.clear()
            self._lasting[key] = found
        return found

    def open(self, slot: int, shape: Shape, seed: int) -> None:
        """Starts a new LoRA: A Kaiming-uniform with a = sqrt(5) (He et al. 2015), B zero, gradients zero.

        DoRA's magnitudes begin as the frozen layers' norms. The draw depends on seed and layer name alone; a smaller
        rank takes the first rows of a larger one.
        """
        if slot in self._open:
            raise ValueError(f"slot {slot} is already open")
        check_shape(shape, self._layers)
        if not any(self._of(shape)):
            raise ValueError("the LoRA adapts no layer at all; freeze fewer blocks")
        if shape.algorithm != "lora":
            self._open_unpacked(slot, shape, seed)
            return
        home = self._residence
        self._lasting.clear()
        self._reserve(shape, max(slot + 1, home.slots))
        home.weights[slot].zero_()
        home.gradients[slot].zero_()
        self._open[slot] = self._slot(shape, seed)
        for layer, rank in self._of(shape):
            bound = 1 / math.sqrt(layer.inputs)
            draw = torch.rand(rank, layer.inputs, generator=generator(seed, layer.name))
            layer.down[slot, :rank] = (draw * 2 - 1).to(layer.down) * bound
            if shape.dora:
                layer.magnitude[slot, 0] = norms(self._weight(layer).to(self.dtype))
        self._leaves[slot] = {}
        home.bind(slot, self._tenant(slot))

    def reserve(self, shape: Shape, slots: int) -> None:
        """Takes memory for so many slots of a shape at once; what was taken for others before is given back.

        Does nothing while slots are open, or for algorithms that are not packed.
        """
        if self._open or shape.algorithm != "lora":
            return
        self._lasting.clear()
        self._residence.clear()
        self._reserve(shape, min(slots, self.capacity))

    def hold(self, slot: int, shape: Shape, terms: Mapping[str, Term]) -> None:
        """Opens a slot of fixed terms, which is not trained.

        Args:
            slot: its number.
            shape: which parts it adapts.
            terms: by layer.
        """
        self._open[slot], self._leaves[slot] = Slot(shape, 0, 0, None), {}
        self._unpacked[slot] = FixedSlot(terms)

    def frozen(self, layer: str) -> nn.Module:
        """The base model's own Linear, Conv2d or norm behind a wrapped layer."""
        return self._inner[layer]

    def close(self, slot: int) -> None:
        """Frees the slot."""
        self._lasting.clear()
        del self._open[slot], self._leaves[slot]
        self._unpacked.pop(slot, None)

    def discard(self, slot: int) -> None:
        """Frees the slot if it is open."""
        if slot in self._open:
            self.close(slot)

    def parameters(self, slot: int, part: str) -> list[nn.Parameter]:
        """The leaf tensors of a slot in one part ("unet", "text_encoder"), in layer order."""
        return [leaf for name, leaf in self._leaves[slot].items() if name.startswith(part + ".")]

    def leaves(self, slot: int) -> Mapping[str, nn.Parameter]:
        """The leaf tensors of a slot by name: ``<layer>.down`` (rank, inputs), ``<layer>.up`` (rank, outputs).

        With DoRA also ``<layer>.magnitude`` (outputs,).
        """
        return self._leaves[slot]

    def scales(self, slot: int) -> dict[str, float]:
        """What multiplies B A at each layer that the slot adapts."""
        shape = self._open[slot].shape
        return {layer.name: shape.scale_of(layer) for layer, _ in self._of(shape)}

    def gradients(self, slot: int) -> Tensor:
        """All gradients of the slot in one flat view; unused places are zero."""
        alone = self.unpacked(slot)
        return self._residence.gradients[slot] if alone is None else alone.gradients

    def state(self, slot: int) -> dict[str, Tensor]:
        """Copies of ``<layer>.down`` (rank, inputs) and ``<layer>.up`` (outputs, rank), on the CPU.

        With DoRA also of ``<layer>.magnitude`` (outputs,).
        """
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
        return self._open[slot].shape

    def by_row(self, x: Tensor) -> Tensor:
        """What belongs to each row at hand, shape (rows, tokens, width): a layer may see a row's tokens one by one.

        Raises:
            ValueError: it does not belong to the rows.
        """
        rows = self._rows or len(x)
        if len(x) % rows:
            raise ValueError(f"{len(x)} inputs do not belong to {rows} rows")
        return x.reshape(rows, -1, x.shape[-1])

    def apply(self, layer: Layer, x: Tensor, weight: Tensor | Stored, bias: Tensor | None) -> Tensor:
        """A frozen layer's output plus its rows' low-rank terms; x: shape (rows, tokens, inputs)."""
        active = self.groups_at(layer)
        result: Tensor = LowRankLinear.apply(  # type: ignore[no-untyped-call]
            x.contiguous(), self.anchor if active else None, weight, bias, layer, active
        )
        return self._rescaled(layer, result)

    def groups_at(self, layer: Layer) -> tuple[Group, ...]:
        """The rows at hand that have a term in a Linear or 1x1 layer."""
        if layer.resnet or self._partial:
            return tuple(group for group in self._active if group.adapts(layer))
        return self._active

    def convolve(self, layer: Layer, x: Tensor, y: Tensor, window: Window) -> Tensor:
        """A frozen 3x3 convolution's output y of x, plus its rows' low-rank terms."""
        active = tuple(group for group in self._active if group.adapts(layer))
        if not active:
            return y
        result: Tensor = LowRankConv.apply(x, y, self.anchor, layer, window, active)  # type: ignore[no-untyped-call]
        return self._rescaled(layer, result)

    def finish(self, layer: str, x: Tensor, y: Tensor) -> Tensor:
        """A layer's output y of x, with the terms of those rows whose slots are not packed."""
        if not self._alone:
            return y
        parts, done = [], 0
        for start, stop, slot, shown in self._alone:
            parts += [y[done:start], slot.output(layer, x[start:stop], y[start:stop], shown)]
            done = stop
        return torch.cat([*parts, y[done:]])

    def unpacked(self, slot: int) -> LycorisSlot | None:
        """The slot's own modules, if its algorithm cannot be packed."""
        alone = self._unpacked.get(slot)
        return alone if isinstance(alone, LycorisSlot) else None

    def _rescaled(self, layer: Layer, y: Tensor) -> Tensor:
        """A layer's output with the outputs of DoRA's rows brought to their magnitudes."""
        if not self._decomposed:
            return y
        groups = tuple(group for group in self._active if layer.name in group.decomposed)
        if not groups:
            return y
        bias = self._inner[layer.name].bias
        result: Tensor = Decompose.apply(y, self._weight(layer), bias, layer, groups)  # type: ignore[no-untyped-call]
        return result

    def _weight(self, layer: Layer) -> Tensor:
        """A frozen layer's weight, shape (outputs, inputs)."""
        return self._inner[layer.name].get_parameter("weight").detach().flatten(1)

    def _open_unpacked(self, slot: int, shape: Shape, seed: int) -> None:
        layers = {layer.name: (layer, self._inner[layer.name]) for layer, _ in self._of(shape)}
        alone = LycorisSlot(shape, layers, seed, self._residence.weights)
        self._open[slot], self._unpacked[slot] = self._slot(shape, seed), alone
        self._leaves[slot] = alone.leaves

    def _wrap(self, part: str, model: nn.Module, name: str, resnet: bool) -> None:
        parent_name, _, child = name.rpartition(".")
        parent, full = model.get_submodule(parent_name), f"{part}.{name}"
        inner = parent.get_submodule(child)
        if isinstance(inner, nn.Linear):
            layer = Layer(full, inner.in_features, inner.out_features, False, 1, resnet)
            wrapped: nn.Module = BankedLinear(inner, layer, self)
        elif isinstance(inner, nn.Conv2d) and inner.kernel_size == (1, 1):
            layer = Layer(full, inner.in_channels, inner.out_channels, True, 1, resnet)
            wrapped = BankedPointwise(inner, layer, self.apply, self.finish)
        elif isinstance(inner, nn.Conv2d) and resnet:
            side = inner.kernel_size[0]
            layer = Layer(full, inner.in_channels * side**2, inner.out_channels, False, side, resnet)
            wrapped = BankedConv(inner, layer, self.convolve, self.finish)
        else:
            raise TypeError(f"{name} is a {type(inner).__name__}; a LoRA layer must be Linear or 1x1 Conv2d")
        self._layers[layer.name], self._inner[layer.name] = layer, inner
        setattr(parent, child, wrapped)

    def _wrap_norm(self, part: str, model: nn.Module, name: str) -> None:
        parent_name, _, child = name.rpartition(".")
        parent, full = model.get_submodule(parent_name), f"{part}.{name}"
        self._inner[full] = parent.get_submodule(child)
        setattr(parent, child, BankedNorm(self._inner[full], full, self.finish))

    def _of(self, shape: Shape) -> Iterator[tuple[Layer, int]]:
        """The layers that a shape adapts, each with its rank."""
        for layer in self._layers.values():
            if rank := shape.rank_of(layer):
                yield layer, rank

    def _slot(self, shape: Shape, seed: int) -> Slot:
        names = frozenset(layer.name for layer, _ in self._of(shape))
        widest = max((rank for layer, rank in self._of(shape) if layer.kernel == 1), default=0)
        whole = all(layer.resnet or layer.name in names for layer in self._layers.values())
        return Slot(shape, seed, widest, None if whole else names, names if shape.dora else frozenset())

    def _reserve(self, shape: Shape, slots: int) -> None:
        """Makes room for so many slots, and for this shape in each."""
        wanted = [(layer, room_for(rank, self.ragged)) for layer, rank in self._of(shape)]
        packed = {slot: self._tenant(slot) for slot in self._open if slot not in self._unpacked}
        self._residence.grow(slots, wanted, int(shape.dora), packed)

    def _tenant(self, slot: int) -> Tenant:
        shape = self._open[slot].shape
        return Tenant(self._leaves[slot], list(self._of(shape)), shape.dora)


def _launch_bound(like: Tensor) -> bool:
    """Whether a step waits for launches rather than for products, and has products of unequally many rows."""
    if not like.is_cuda or like.dtype != torch.bfloat16:
        return False
    return torch.cuda.get_device_capability(like.device) >= (9, 0)
