"""DoRA (Liu et al. 2024): the weights of each output keep a norm that is learned apart from their direction.

W' = m (W + scale B A) / |W + scale B A|, eq. 5; the norm counts as a constant in the backward pass (section 4.3). So an
output y of the layer with its low-rank term becomes bias + g (y - bias), where g = m / |W + scale B A|. Rows without
magnitudes are left as they are.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from trainer.adapters.group import Group, Layer


class Decompose(torch.autograd.Function):
    """y = bias + g (y - bias) for the rows of each group. Gradients of m are added to the bank in place."""

    @staticmethod
    def forward(
        ctx: Any, y: Tensor, weight: Tensor, bias: Tensor | None, layer: Layer, groups: tuple[Group, ...]
    ) -> Tensor:
        """y: shape (rows, tokens, outputs) or (rows, outputs, h, w); weight: shape (outputs, inputs)."""
        y = y.clone()
        saved = []
        for group in groups:
            merged = norms(weight.to(layer.down.dtype), *_factors(layer, group))
            gain = layer.magnitude.detach()[group.index, 0] / merged
            rows = _rows(y, group)
            if bias is not None:
                rows.sub_(bias)
            saved += [rows.clone(), merged, gain]
            rows.mul_(_by_row(gain, rows))
            if bias is not None:
                rows.add_(bias)
        ctx.save_for_backward(*saved)
        ctx.layer, ctx.groups = layer, groups
        return y

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """The gradient of y; that of m goes straight into the bank."""
        saved, total = ctx.saved_tensors, ctx.layer.magnitude_grad[:, 0]
        grad = grad.clone()
        for group, linear, merged, gain in zip(ctx.groups, saved[::3], saved[1::3], saved[2::3], strict=True):
            rows = _rows(grad, group)
            pulled = (rows * linear).flatten(1, -2).sum(1, dtype=total.dtype)
            found = torch.unflatten(pulled, 0, (len(merged), -1)).sum(1) / merged
            group.collect(total, found)
            rows.mul_(_by_row(gain, rows))
        return grad, None, None, None, None


def norms(weight: Tensor, down: Tensor | None = None, up: Tensor | None = None) -> Tensor:
    """Norms of each output's weights, without the product B A: |w + a b|^2 = |w|^2 + 2 w a b + b A A^T b.

    Args:
        weight: W, shape (outputs, inputs).
        down: A of each slot, shape (slots, rank, inputs).
        up: scale B transposed, shape (slots, rank, outputs).

    Returns:
        Shape (slots, outputs), or (outputs,) of W alone; never 0.
    """
    squares = weight.square().sum(1)
    if down is not None and up is not None:
        squares = squares + (up * (2 * down @ weight.mT + down @ down.mT @ up)).sum(1)
    return squares.clamp(min=torch.finfo(squares.dtype).tiny).sqrt()


def _factors(layer: Layer, group: Group) -> tuple[Tensor, Tensor]:
    """A and scale B of the group's slots, in the bank's number format."""
    rank, scale = group.rank, group.scale
    if layer.kernel > 1 and group.conv_scale is not None:
        rank, scale = group.conv_rank, group.conv_scale
    down, up = (factor.detach()[group.index, :rank] for factor in (layer.down, layer.up))
    return down, up * scale


def _rows(image: Tensor, group: Group) -> Tensor:
    """A group's part, shape (rows, ..., outputs), a view."""
    last = image.movedim(1, -1) if image.ndim == 4 else image
    return last[group.start : group.stop]


def _by_row(slots: Tensor, rows: Tensor) -> Tensor:
    """(slots, outputs) -> (rows, 1, ..., outputs), every slot as often as it has rows."""
    spread = slots.repeat_interleave(len(rows) // len(slots), 0)
    return spread.view(len(rows), *(1 for _ in rows.shape[1:-1]), -1)
