"""One frozen layer with the low-rank terms of many slots: what is computed, forward and backward."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from trainer.adapters.group import Group, Layer

ONEDNN_FROM = 4_000_000
"""Multiply-adds from which oneDNN's product beats MKL's in float32 (measured: up to twice as fast on AMD's
AVX-512 cores, whose full width MKL leaves unused)."""


Apply = Callable[[Layer, Tensor, Tensor, Tensor | None], Tensor]
"""A frozen layer's output with the low-rank terms of the rows at hand: layer, input, weight, bias."""
Finish = Callable[[str, Tensor, Tensor], Tensor]
"""Adds to a layer's output what is not packed: its name, input, output."""


class BankedLinear(nn.Module):
    """A frozen Linear whose rows may carry low-rank terms."""

    def __init__(self, inner: nn.Linear, layer: Layer, apply: Apply, finish: Finish) -> None:
        super().__init__()
        self.inner, self._layer, self._apply_rows, self._finish = inner, layer, apply, finish
        self.weight, self.bias = inner.weight, inner.bias
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
        weight: Tensor,
        bias: Tensor | None,
        layer: Layer,
        groups: tuple[Group, ...],
    ) -> Tensor:
        """x: shape (rows, tokens, inputs); ``anchor`` makes autograd call ``backward`` for the groups' sake."""
        y = frozen_linear(x, weight, bias)
        inner = []
        for group in groups:
            hidden = group.scaled(group.times(group.rows(x), group.factor(layer, "down", True).mT))
            kept = group.thinned(hidden, layer)
            group.add_times(group.rows(y), hidden, group.factor(layer, "up", False))
            inner += [hidden, kept]
        ctx.save_for_backward(x, weight, *inner)
        ctx.layer, ctx.groups = layer, groups
        return y

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """The gradient of x where it is wanted; those of A and B go straight into the bank."""
        x, weight, *inner = ctx.saved_tensors
        layer: Layer = ctx.layer
        grad = grad.contiguous()
        grad_x = frozen_linear(grad, weight.t(), None) if ctx.needs_input_grad[0] else None
        for group, hidden, kept in zip(ctx.groups, inner[::2], inner[1::2], strict=True):
            rows = group.rows(grad)
            grad_hidden = group.scaled(group.times(rows, group.factor(layer, "up", True).mT))
            if kept is not None:
                group.by_row(grad_hidden).mul_(kept)
            group.accumulate(layer.up_grad, hidden, rows)
            group.accumulate(layer.down_grad, grad_hidden, group.rows(x))
            if grad_x is not None:
                group.add_times(group.rows(grad_x), grad_hidden, group.factor(layer, "down", False))
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
