"""One frozen 3x3 convolution with the low-rank terms of many slots.

A 3x3 convolution to few channels is a product over channels followed by a shifted sum: A x is computed as
nine 1x1 products at once, batched over slots, whose few output channels are shifted and added. The nine-fold copy
of x that unfolding it would need is never made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from trainer.low_rank import Finish, Group, Layer, accumulate, by_row, by_slot, thinned

Term = Callable[[Layer, Tensor, Tensor, "Window"], Tensor]
"""A frozen convolution's output plus the terms of the rows at hand: layer, input, output, window."""


@dataclass(frozen=True, slots=True)
class Window:
    """How a square kernel moves."""

    kernel: int
    stride: int
    padding: int

    def places(self, height: int, width: int) -> Iterator[tuple[int, slice, slice]]:
        """Each kernel element's number, with the padded rows and columns that it meets.

        Args:
            height: of the output.
            width: of the output.
        """
        for number in range(self.kernel**2):
            y, x = divmod(number, self.kernel)
            yield number, self._span(y, height), self._span(x, width)

    def _span(self, first: int, count: int) -> slice:
        return slice(first, first + self.stride * (count - 1) + 1, self.stride)


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
        return self._finish(self._layer, x, y)


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
        pixels, saved = _channels_last(x), []
        for group in groups:
            down, up = _factors(layer, group, x.dtype, window)
            spread = torch.bmm(by_slot(pixels, group), down)
            hidden = _gathered(spread, x.shape[2:], y.shape[2:], window) * _scale(group, x.dtype)
            kept = thinned(hidden, layer, group)
            y[group.start : group.stop] += _as_image(torch.bmm(hidden, up), group, y)
            saved += [hidden, kept]
        ctx.save_for_backward(x, *saved)
        ctx.layer, ctx.groups, ctx.window = layer, groups, window
        return y

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """The gradient of x where it is wanted, and of y; those of A and B go straight into the bank."""
        x, *saved = ctx.saved_tensors
        layer, window = ctx.layer, ctx.window
        pixels, pulls = _channels_last(x), _channels_last(grad)
        grad_pixels = torch.zeros_like(pixels) if ctx.needs_input_grad[0] else None
        for group, hidden, kept in zip(ctx.groups, saved[::2], saved[1::2], strict=True):
            down, up = _factors(layer, group, x.dtype, window)
            pull = by_slot(pulls, group)
            grad_hidden = torch.bmm(pull, up.mT) * _scale(group, x.dtype)
            if kept is not None:
                by_row(grad_hidden, group).mul_(kept)
            conv = replace(group, rank=group.conv_rank)
            accumulate(layer.up_grad, conv, hidden, pull)
            spread = _scattered(grad_hidden, x.shape[2:], grad.shape[2:], window)
            _accumulate_down(layer, conv, spread, by_slot(pixels, group), window)
            if grad_pixels is not None:
                by_slot(grad_pixels, group).baddbmm_(spread, down.mT)
        grad_x = None
        if grad_pixels is not None:
            grad_x = grad_pixels.view(x.shape[0], *x.shape[2:], x.shape[1]).permute(0, 3, 1, 2)
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


def _channels_last(image: Tensor) -> Tensor:
    """(rows, channels, h, w) -> (rows, h * w, channels), without a copy where memory allows."""
    return image.permute(0, 2, 3, 1).flatten(1, 2).contiguous()


def _as_image(tokens: Tensor, group: Group, like: Tensor) -> Tensor:
    rows = tokens.view(group.stop - group.start, *like.shape[2:], tokens.shape[-1])
    return rows.permute(0, 3, 1, 2)


def _factors(layer: Layer, group: Group, dtype: torch.dtype, window: Window) -> tuple[Tensor, Tensor]:
    """A as nine 1x1 products, shape (slots, inputs, 9 * rank), and B transposed, (slots, rank, outputs)."""
    down = layer.down.detach()[group.index, : group.conv_rank].to(dtype)
    up = layer.up.detach()[group.index, : group.conv_rank].to(dtype)
    slots, rank, _ = down.shape
    apart = down.view(slots, rank, -1, window.kernel**2)
    return apart.permute(0, 2, 3, 1).reshape(slots, -1, window.kernel**2 * rank), up


def _gathered(spread: Tensor, size: torch.Size, out: torch.Size, window: Window) -> Tensor:
    """Adds up the nine shifted products.

    Args:
        spread: shape (slots, rows per slot * h * w, 9 * rank).
        size: h and w.
        out: h' and w' of the output.
        window: how the kernel moves.

    Returns:
        Shape (slots, rows per slot * h' * w', rank).
    """
    pad, rank = window.padding, spread.shape[-1] // window.kernel**2
    image = nn.functional.pad(spread.view(-1, *size, spread.shape[-1]), (0, 0, pad, pad, pad, pad))
    total = image.new_zeros(len(image), *out, rank)
    for number, rows, columns in window.places(*out):
        total += image[:, rows, columns, number * rank : (number + 1) * rank]
    return total.view(len(spread), -1, rank)


def _scattered(grad: Tensor, size: torch.Size, out: torch.Size, window: Window) -> Tensor:
    """The transpose of ``_gathered``: from (slots, rows per slot * h' * w', rank) back to the nine products."""
    pad, rank = window.padding, grad.shape[-1]
    shown = grad.view(-1, *out, rank)
    height, width = (side + 2 * pad for side in size)
    image = shown.new_zeros(len(shown), height, width, window.kernel**2 * rank)
    for number, rows, columns in window.places(*out):
        image[:, rows, columns, number * rank : (number + 1) * rank] = shown
    inner = image[:, pad : height - pad, pad : width - pad]
    return inner.reshape(len(grad), -1, image.shape[-1])


def _accumulate_down(layer: Layer, group: Group, spread: Tensor, pixels: Tensor, window: Window) -> None:
    """Adds the gradient of A, whose 9 x inputs columns lie kernel element by kernel element in ``spread``."""
    slots, squares = len(spread), window.kernel**2
    product = torch.bmm(spread.mT, pixels).view(slots, squares, -1, pixels.shape[-1])
    apart = product.permute(0, 2, 3, 1).reshape(slots, product.shape[2], -1).to(layer.down_grad.dtype)
    if isinstance(group.index, slice):
        layer.down_grad[group.index, : group.rank] += apart
    else:
        layer.down_grad[:, : group.rank].index_add_(0, group.index, apart)


def _scale(group: Group, dtype: torch.dtype) -> Tensor:
    assert group.conv_scale is not None, "only groups with a convolution rank come here"
    return group.conv_scale.to(dtype)
