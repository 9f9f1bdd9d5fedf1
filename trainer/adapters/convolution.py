"""One frozen 3x3 convolution with the low-rank terms of many slots.

A x of all slots is one convolution whose groups are the slots: rows of a slot stay rows, slots lie side by side as
channels. B follows likewise, as a 1x1 convolution. ``benchmarks/RESULTS.md`` has what was compared.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from trainer.adapters.dropout import mask
from trainer.adapters.group import Group, Layer
from trainer.adapters.linear import Finish

Term = Callable[[Layer, Tensor, Tensor, "Window"], Tensor]
"""A frozen convolution's output plus the terms of the rows at hand: layer, input, output, window."""


@dataclass(frozen=True, slots=True)
class Window:
    """How a square kernel moves."""

    kernel: int
    stride: int
    padding: int


_POINT = Window(1, 1, 0)


class BankedConv(nn.Module):
    """A frozen 3x3 convolution whose rows may carry low-rank terms."""

    def __init__(self, inner: nn.Conv2d, layer: Layer, term: Term, finish: Finish) -> None:
        super().__init__()
        self.inner, self._layer, self._term, self._finish = inner, layer, term, finish
        self.weight, self.bias = inner.weight, inner.bias
        self._window = window_of(inner)

    def forward(self, x: Tensor) -> Tensor:
        """(rows, inputs, height, width) -> (rows, outputs, height / stride, width / stride)."""
        y = self._term(self._layer, x, self.inner(x), self._window)
        return self._finish(self._layer.name, x, y)


class LowRankConv(torch.autograd.Function):
    """y += scale B A x for the rows of each group, A a 3x3 convolution and B a 1x1.

    Gradients of A and B are added to the bank in place.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        y: Tensor,
        anchor: Tensor,
        layer: Layer,
        window: Window,
        groups: tuple[Group, ...],
    ) -> Tensor:
        """x: shape (rows, inputs, h, w); y: the frozen output, changed in place; ``anchor`` wants a gradient."""
        ctx.mark_dirty(y)
        saved = []
        for group in groups:
            down, up = _factors(layer, group, x.dtype, window)
            slots = len(group.slots)
            hidden = functional.conv2d(
                _beside(x, group), down, None, window.stride, window.padding, groups=slots
            )
            hidden *= _scale(group, x.dtype)
            kept = _thinned(hidden, layer, group)
            y[group.start : group.stop] += _apart(functional.conv2d(hidden, up, groups=slots), group)
            saved += [hidden, kept]
        ctx.save_for_backward(x, *saved)
        ctx.layer, ctx.groups, ctx.window = layer, groups, window
        return y

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """The gradient of x where it is wanted, and of y; those of A and B go straight into the bank."""
        x, *saved = ctx.saved_tensors
        layer, window = ctx.layer, ctx.window
        grad_x = torch.zeros_like(x) if ctx.needs_input_grad[0] else None
        for group, hidden, kept in zip(ctx.groups, saved[::2], saved[1::2], strict=True):
            down, up = _factors(layer, group, x.dtype, window)
            grad_hidden, grad_up = _backward(_beside(grad, group), hidden, up, _POINT, group, True)
            grad_hidden *= _scale(group, x.dtype)
            if kept is not None:
                grad_hidden *= kept
            pushed, grad_down = _backward(
                grad_hidden, _beside(x, group), down, window, group, grad_x is not None
            )
            slots, rank = len(group.slots), group.conv_rank
            group.collect(layer.up_grad[:, :rank], grad_up.reshape(slots, -1, rank).mT)
            group.collect(layer.down_grad[:, :rank], grad_down.reshape(slots, rank, -1))
            if grad_x is not None:
                grad_x[group.start : group.stop] = _apart(pushed, group)
        return grad_x, grad, None, None, None, None


def window_of(conv: nn.Conv2d) -> Window:
    """The window of a square, undilated, ungrouped convolution.

    Raises:
        TypeError: it is another kind of convolution.
    """
    plain = conv.groups == 1 and set(conv.dilation) == {1} and conv.padding_mode == "zeros"
    padding = conv.padding
    alike = all(len(set(sizes)) == 1 for sizes in (conv.kernel_size, conv.stride, padding))
    if isinstance(padding, str) or not (plain and alike):
        raise TypeError(f"a LoRA layer must be a square convolution without groups or dilation, got {conv}")
    return Window(conv.kernel_size[0], conv.stride[0], padding[0])


def _beside(image: Tensor, group: Group) -> Tensor:
    """A group's part of all rows (rows, channels, h, w), as ``_folded``."""
    return _folded(image[group.start : group.stop], group)


def _folded(rows: Tensor, group: Group) -> Tensor:
    """(rows, channels, h, w) -> (rows per slot, slots * channels, h, w); no copy where each slot has one row."""
    return torch.unflatten(rows, 0, (len(group.slots), -1)).transpose(0, 1).flatten(1, 2)


def _apart(image: Tensor, group: Group) -> Tensor:
    """The inverse of ``_folded``."""
    return torch.unflatten(image, 1, (len(group.slots), -1)).transpose(0, 1).flatten(0, 1)


def _backward(
    grad: Tensor, image: Tensor, weight: Tensor, window: Window, group: Group, wants_image: bool
) -> tuple[Tensor, Tensor]:
    """The gradients of a grouped convolution's input, if wanted, and weight."""
    found = torch.ops.aten.convolution_backward(
        grad,
        image,
        weight,
        None,
        [window.stride] * 2,
        [window.padding] * 2,
        [1, 1],
        False,
        [0, 0],
        len(group.slots),
        [wants_image, True, False],
    )
    return found[0], found[1]


def _thinned(hidden: Tensor, layer: Layer, group: Group) -> Tensor | None:
    """Drops parts of A x in place; the factors in the shape of ``hidden``, or None."""
    if not group.drops:
        return None
    rows = _apart(hidden, group)
    chosen = mask(group.drops, layer, rows.flatten(2).mT).mT
    kept = _folded(chosen.expand(-1, -1, rows[0, 0].numel()).reshape(rows.shape), group)
    hidden *= kept
    return kept


def _factors(layer: Layer, group: Group, dtype: torch.dtype, window: Window) -> tuple[Tensor, Tensor]:
    """A and B as weights of grouped convolutions: (slots * rank, inputs, k, k) and (slots * outputs, rank, 1, 1)."""
    down = layer.down.detach()[group.index, : group.conv_rank].to(dtype)
    up = layer.up.detach()[group.index, : group.conv_rank].to(dtype)
    kernels = torch.unflatten(down.flatten(0, 1), 1, (-1, window.kernel, window.kernel))
    return kernels, up.mT.flatten(0, 1)[:, :, None, None]


def _scale(group: Group, dtype: torch.dtype) -> Tensor:
    """alpha / rank, shape (1, slots * rank, 1, 1)."""
    assert group.conv_scale is not None, "only groups with a convolution rank come here"
    spread = group.conv_scale.to(dtype).expand(-1, group.conv_rank, -1)
    return spread.reshape(1, -1, 1, 1)
