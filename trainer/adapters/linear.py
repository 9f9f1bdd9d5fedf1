"""One frozen layer with the low-rank terms of many slots: what is computed, forward and backward.

A group is a run of batch rows whose slots have equally many rows each, so that its low-rank products are batched
matrix products over slots. Ranks inside a group are padded with zeros, which stay zero.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from trainer.adapters.dropout import Drop, mask
from trainer.adapters.stored import Stored, weight_of, whole


@dataclass(frozen=True, slots=True)
class Group:
    """Consecutive rows whose slots have the same number of rows each."""

    start: int
    stop: int
    slots: tuple[int, ...]
    rank: int
    """The largest rank among the slots; the others are padded with zeros."""
    index: Tensor | slice
    scale: Tensor
    """Shape (slots, 1, 1)."""
    conv_rank: int = 0
    """The same for 3x3 convolutions; 0 where no slot adapts convolution blocks."""
    conv_scale: Tensor | None = None
    layers: frozenset[str] | None = None
    """Names of the layers that some of the slots adapt; None for all outside convolution blocks."""
    decomposed: frozenset[str] = frozenset()
    """Names of the layers where all of the slots have a magnitude."""
    drops: tuple[Drop | None, ...] = ()
    """How each row is thinned out; empty for not at all."""

    def adapts(self, layer: Layer) -> bool:
        """Whether one of the slots may have a term there."""
        if not layer.rank or (layer.resnet and not self.conv_rank):
            return False
        return self.layers is None or layer.name in self.layers


@dataclass(slots=True)
class Layer:
    """Where a frozen layer's low-rank factors lie in the bank."""

    name: str
    inputs: int
    outputs: int
    pointwise: bool
    """Whether it is a 1x1 convolution."""
    kernel: int = 1
    """Side of the convolution's kernel; 1 for Linear layers."""
    resnet: bool = False
    """Whether it stands in a convolution block, which gets a LoRA only together with its 3x3 layers."""
    rank: int = 0
    """Rank for which the bank has room."""
    magnitudes: int = 0
    """1 where the bank has room for magnitudes, else 0."""
    down: Tensor = field(init=False)
    """A: shape (slots, rank, inputs), a view of the bank's weights."""
    up: Tensor = field(init=False)
    """B transposed: shape (slots, rank, outputs)."""
    down_grad: Tensor = field(init=False)
    up_grad: Tensor = field(init=False)
    magnitude: Tensor = field(init=False)
    """DoRA's m: shape (slots, 1 or 0, outputs)."""
    magnitude_grad: Tensor = field(init=False)


ONEDNN_FROM = 4_000_000
"""Multiply-adds from which oneDNN's product beats MKL's in float32 (measured: up to twice as fast on AMD's
AVX-512 cores, whose full width MKL leaves unused)."""


Apply = Callable[[Layer, Tensor, Tensor | Stored, Tensor | None], Tensor]
"""A frozen layer's output with the low-rank terms of the rows at hand: layer, input, weight, bias."""
Finish = Callable[[str, Tensor, Tensor], Tensor]
"""Adds to a layer's output what is not packed: its name, input, output."""


class BankedLinear(nn.Module):
    """A frozen Linear whose rows may carry low-rank terms."""

    def __init__(self, inner: nn.Linear, layer: Layer, apply: Apply, finish: Finish) -> None:
        super().__init__()
        self.inner, self._layer, self._apply_rows, self._finish = inner, layer, apply, finish
        self.weight, self.bias = weight_of(inner), inner.bias
        self.in_features, self.out_features = inner.in_features, inner.out_features

    def forward(self, x: Tensor) -> Tensor:
        """(rows, tokens, inputs) or (rows, inputs) -> the same with outputs."""
        if x.dim() == 2:
            y = self._apply_rows(self._layer, x.unsqueeze(1), self.weight, self.bias).squeeze(1)
        else:
            y = self._apply_rows(self._layer, x, self.weight, self.bias)
        return self._finish(self._layer.name, x, y)


class BankedPointwise(nn.Module):
    """A frozen 1x1 convolution, seen as a Linear over channels."""

    def __init__(self, inner: nn.Conv2d, layer: Layer, apply: Apply, finish: Finish) -> None:
        super().__init__()
        self.inner, self._layer, self._apply_rows, self._finish = inner, layer, apply, finish
        self.weight, self.bias = inner.weight, inner.bias

    def forward(self, x: Tensor) -> Tensor:
        """(rows, inputs, height, width) -> (rows, outputs, height, width)."""
        n, _, height, width = x.shape
        tokens = x.permute(0, 2, 3, 1).reshape(n, height * width, -1)
        out = self._apply_rows(self._layer, tokens, self.weight.flatten(1), self.bias)
        return self._finish(self._layer.name, x, out.view(n, height, width, -1).permute(0, 3, 1, 2))


class BankedNorm(nn.Module):
    """A frozen GroupNorm or LayerNorm whose rows may carry fixed terms."""

    def __init__(self, inner: nn.Module, name: str, finish: Finish) -> None:
        super().__init__()
        self.inner, self._name, self._finish = inner, name, finish
        self.weight, self.bias = inner.weight, inner.bias

    def forward(self, x: Tensor) -> Tensor:
        """Any shape whose first side is the rows."""
        return self._finish(self._name, x, self.inner(x))


class LowRankLinear(torch.autograd.Function):
    """y = W x + bias, and y += scale B A x for the rows of each group (Hu et al. 2021, eq. 3).

    Gradients of A and B are added to the bank in place; only x and A x are kept for the backward pass.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        anchor: Tensor | None,
        weight: Tensor | Stored,
        bias: Tensor | None,
        layer: Layer,
        groups: tuple[Group, ...],
    ) -> Tensor:
        """x: shape (rows, tokens, inputs); ``anchor`` makes autograd call ``backward`` for the groups' sake."""
        y = frozen_linear(x, whole(weight, x.dtype), bias)
        inner = []
        for group in groups:
            down, up = _factors(layer, group, x.dtype)
            hidden = torch.bmm(by_slot(x, group), down.mT) * group.scale.to(x.dtype)
            kept = thinned(hidden, layer, group)
            by_slot(y, group).baddbmm_(hidden, up)
            inner += [hidden, kept]
        ctx.stored = weight if isinstance(weight, Stored) else None
        ctx.save_for_backward(x, None if ctx.stored else weight, *inner)
        ctx.layer, ctx.groups = layer, groups
        return y

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """The gradient of x where it is wanted; those of A and B go straight into the bank."""
        x, weight, *inner = ctx.saved_tensors
        layer: Layer = ctx.layer
        grad = grad.contiguous()
        grad_x = None
        if ctx.needs_input_grad[0]:
            grad_x = frozen_linear(grad, whole(ctx.stored or weight, grad.dtype).t(), None)
        for group, hidden, kept in zip(ctx.groups, inner[::2], inner[1::2], strict=True):
            down, up = _factors(layer, group, x.dtype)
            rows = by_slot(grad, group)
            grad_hidden = torch.bmm(rows, up.mT) * group.scale.to(x.dtype)
            if kept is not None:
                by_row(grad_hidden, group).mul_(kept)
            accumulate(layer.up_grad, group, hidden, rows)
            accumulate(layer.down_grad, group, grad_hidden, by_slot(x, group))
            if grad_x is not None:
                by_slot(grad_x, group).baddbmm_(grad_hidden, down)
        return grad_x, None, None, None, None, None


def frozen_linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """x W^T + bias without autograd, by oneDNN where that is faster.

    Args:
        x: shape (..., inputs), contiguous.
        weight: shape (outputs, inputs).
        bias: shape (outputs,) or None.
    """
    large = x.dtype == torch.float32 and x.numel() * weight.shape[0] >= ONEDNN_FROM
    if not (large and x.device.type == "cpu" and torch.backends.mkldnn.is_available()):  # type: ignore[no-untyped-call]
        return nn.functional.linear(x, weight, bias)
    product: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")
    return product


def by_slot(x: Tensor, group: Group) -> Tensor:
    """(rows, tokens, width) -> the group's (slots, rows per slot * tokens, width), without a copy."""
    return x[group.start : group.stop].view(len(group.slots), -1, x.shape[-1])


def by_row(hidden: Tensor, group: Group) -> Tensor:
    """(slots, rows per slot * tokens, width) -> (rows, tokens, width), without a copy."""
    return hidden.view(group.stop - group.start, -1, hidden.shape[-1])


def thinned(hidden: Tensor, layer: Layer, group: Group) -> Tensor | None:
    """Drops parts of A x in place; the factors, shape (rows, tokens or 1, width), or None."""
    if not group.drops:
        return None
    rows = by_row(hidden, group)
    kept = mask(group.drops, layer, rows)
    rows.mul_(kept)
    return kept


def _factors(layer: Layer, group: Group, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    down = layer.down.detach()[group.index, : group.rank].to(dtype)
    up = layer.up.detach()[group.index, : group.rank].to(dtype)
    return down, up


def accumulate(total: Tensor, group: Group, left: Tensor, right: Tensor) -> None:
    """total[slots] += left^T right; a slot may occur in a group more than once."""
    if isinstance(group.index, slice) and left.dtype == total.dtype:
        total[group.index, : group.rank].baddbmm_(left.mT, right)
    else:
        where = group.index
        if isinstance(where, slice):
            total[where, : group.rank] += torch.bmm(left.mT, right)
        else:
            total[:, : group.rank].index_add_(0, where, torch.bmm(left.mT, right).to(total.dtype))
