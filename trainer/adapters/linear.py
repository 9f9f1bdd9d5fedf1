"""One frozen layer with the low-rank terms of many slots: what is computed, forward and backward."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from trainer.adapters.group import Group, Layer
from trainer.adapters.operator import Registered, banked
from trainer.adapters.stored import Stored, weight_of, whole

ONEDNN_FROM = 4_000_000
"""Multiply-adds from which oneDNN's product beats MKL's in float32 (measured: up to twice as fast on AMD's
AVX-512 cores, whose full width MKL leaves unused)."""


Apply = Callable[[Layer, Tensor, Tensor | Stored, Tensor | None], Tensor]
"""A frozen layer's output with the low-rank terms of the rows at hand: layer, input, weight, bias."""
Finish = Callable[[str, Tensor, Tensor], Tensor]
"""Adds to a layer's output what is not packed: its name, input, output."""


class Bank(Protocol):
    """What a wrapped layer asks for its rows' terms."""

    anchor: Tensor

    def by_row(self, x: Tensor) -> Tensor:
        """What belongs to each batch row, shape (rows, tokens, width)."""

    def apply(self, layer: Layer, x: Tensor, weight: Tensor | Stored, bias: Tensor | None) -> Tensor:
        """A frozen layer's output with the low-rank terms of the rows at hand."""

    def finish(self, layer: str, x: Tensor, y: Tensor) -> Tensor:
        """The output with the terms of what is not packed."""

    def groups_at(self, layer: Layer) -> tuple[Group, ...]:
        """The rows at hand that have a term there."""


class BankedLinear(nn.Module):
    """A frozen Linear whose rows may carry low-rank terms."""

    def __init__(self, inner: nn.Linear, layer: Layer, bank: Bank) -> None:
        super().__init__()
        self.inner, self._layer, self._bank = inner, layer, bank
        self.weight, self.bias = weight_of(inner), inner.bias
        self.in_features, self.out_features = inner.in_features, inner.out_features
        self._registered = Registered(self._forward, self._backward)
        self._anchor = bank.anchor

    def forward(self, x: Tensor) -> Tensor:
        """(rows, ..., inputs) -> the same with outputs; the first side may be a multiple of the rows."""
        if torch.compiler.is_compiling():
            compiled: Tensor = banked(x, self._anchor, self._registered.key, self.out_features)
            return compiled
        rows = self._bank.by_row(x)
        y = self._bank.apply(self._layer, rows, self.weight, self.bias)
        return self._bank.finish(self._layer.name, rows, y).view(*x.shape[:-1], -1)

    def _forward(self, x: Tensor) -> Tensor:
        rows, groups = self._bank.by_row(x).contiguous(), self._bank.groups_at(self._layer)
        return with_terms(rows, self.weight, self.bias, self._layer, groups)[0].view(*x.shape[:-1], -1)

    def _backward(self, grad: Tensor, x: Tensor, wanted: bool) -> Tensor | None:
        """A x is computed again: to keep it the compiler would have to see it."""
        rows, groups = self._bank.by_row(x).contiguous(), self._bank.groups_at(self._layer)
        inner = [hidden_of(rows, self._layer, group) for group in groups]
        weight = self.weight if wanted else None
        pull = pulled(self._bank.by_row(grad), rows, weight, self._layer, groups, inner)
        return None if pull is None else pull.view_as(x)


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
        y, inner = with_terms(x, weight, bias, layer, groups)
        ctx.stored = weight if isinstance(weight, Stored) else None
        kept = (part for hidden in inner for part in hidden)
        ctx.save_for_backward(x, None if ctx.stored else weight, *kept)
        ctx.layer, ctx.groups = layer, groups
        return y

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """The gradient of x where it is wanted; those of A and B go straight into the bank."""
        x, weight, *inner = ctx.saved_tensors
        hidden = tuple(zip(inner[::2], inner[1::2], strict=True))
        wanted = (ctx.stored or weight) if ctx.needs_input_grad[0] else None
        grad_x = pulled(grad, x, wanted, ctx.layer, ctx.groups, hidden)
        return grad_x, None, None, None, None, None


Hidden = tuple[Tensor, Tensor | None]
"""A x of a group times alpha / rank, and what thinned it out."""


def with_terms(
    x: Tensor, weight: Tensor | Stored, bias: Tensor | None, layer: Layer, groups: tuple[Group, ...]
) -> tuple[Tensor, list[Hidden]]:
    """The layer's output, and what the backward pass needs of each group; x: shape (rows, tokens, inputs)."""
    y = frozen_linear(x, whole(weight, x.dtype), bias)
    inner = [hidden_of(x, layer, group) for group in groups]
    for group, (hidden, _) in zip(groups, inner, strict=True):
        group.add_times(group.rows(y), hidden, group.factor(layer, "up", False))
    return y, inner


def hidden_of(x: Tensor, layer: Layer, group: Group) -> Hidden:
    """What a group's up-product takes."""
    hidden = group.scaled(group.times(group.rows(x), group.factor(layer, "down", True).mT))
    return hidden, group.thinned(hidden, layer)


def pulled(
    grad: Tensor,
    x: Tensor,
    weight: Tensor | Stored | None,
    layer: Layer,
    groups: tuple[Group, ...],
    inner: Sequence[Hidden],
) -> Tensor | None:
    """The gradient of x, unless there is no weight; those of A and B are added to the bank."""
    grad = grad.contiguous()
    grad_x = None if weight is None else frozen_linear(grad, whole(weight, grad.dtype).t(), None)
    for group, (hidden, kept) in zip(groups, inner, strict=True):
        rows = group.rows(grad)
        grad_hidden = group.scaled(group.times(rows, group.factor(layer, "up", True).mT))
        if kept is not None:
            group.by_row(grad_hidden).mul_(kept)
        group.accumulate(layer, "up_grad", hidden, rows)
        group.accumulate(layer, "down_grad", grad_hidden, group.rows(x))
        if grad_x is not None:
            group.add_times(group.rows(grad_x), grad_hidden, group.factor(layer, "down", False))
    return grad_x


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
