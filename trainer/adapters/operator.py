"""A banked layer as one operator of torch, so that compiled blocks run through it without a break.

What the pack is made of is looked up when the operator runs: a compiler sees rows and widths, never slots or ranks, and
has nothing to compile anew when a trial joins or leaves.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from itertools import count
from typing import Any

import torch
from torch import Tensor

Forward = Callable[[Tensor], Tensor]
"""A layer's output."""
Backward = Callable[[Tensor, Tensor, bool], Tensor | None]
"""From the output's gradient and the input to the input's gradient, if wanted; the factors' go into the bank."""


class Registered:
    """What the operator does for one layer; it is forgotten with this object.

    Args:
        forward: without autograd.
        backward: likewise.
    """

    def __init__(self, forward: Forward, backward: Backward) -> None:
        self.forward, self.backward = forward, backward
        number = next(_NUMBERS)
        self.key = torch.tensor(number)
        """By which the operator finds it; a tensor, since a number would be compiled in."""
        _KNOWN[number] = self


_NUMBERS = count()
_KNOWN: weakref.WeakValueDictionary[int, Registered] = weakref.WeakValueDictionary()


@torch.library.custom_op("lorasearch::banked", mutates_args=())
def banked(x: Tensor, anchor: Tensor, key: Tensor, outputs: int) -> Tensor:
    """A frozen layer's output with its rows' low-rank terms.

    Args:
        x: shape (rows, ..., inputs).
        anchor: makes autograd call the backward pass for the factors' sake.
        key: of the layer.
        outputs: width of the output.
    """
    return _KNOWN[int(key)].forward(x)


@banked.register_fake
def _(x: Tensor, anchor: Tensor, key: Tensor, outputs: int) -> Tensor:
    return x.new_empty((*x.shape[:-1], outputs))


@torch.library.custom_op("lorasearch::banked_backward", mutates_args=())
def banked_backward(grad: Tensor, x: Tensor, key: Tensor, wanted: bool) -> tuple[Tensor, Tensor]:
    """The input's gradient (empty unless wanted), and the anchor's, which is zero: the factors' go into the bank."""
    found = _KNOWN[int(key)].backward(grad, x, wanted)
    return grad.new_empty(0) if found is None else found, grad.new_zeros(())


@banked_backward.register_fake
def _(grad: Tensor, x: Tensor, key: Tensor, wanted: bool) -> tuple[Tensor, Tensor]:
    return torch.empty_like(x) if wanted else grad.new_empty(0), grad.new_empty(())


def _remember(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, anchor, key, _ = inputs
    ctx.save_for_backward(x, key)
    ctx.anchor_dtype = anchor.dtype


def _pull(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor, None, None]:
    x, key = ctx.saved_tensors
    wanted = ctx.needs_input_grad[0]
    found, anchor = banked_backward(grad, x, key, wanted)
    return found if wanted else None, anchor.to(ctx.anchor_dtype), None, None


banked.register_autograd(_pull, setup_context=_remember)
