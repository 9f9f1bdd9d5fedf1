"""A slot that learns nothing: fixed differences of a base model's layers, as LoRA files of any algorithm make them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

Term = Callable[[Tensor], Tensor]
"""From a layer's input to what its output gains."""


@dataclass(frozen=True, slots=True)
class WholeTerm:
    """What a layer's weight and bias gain."""

    inner: nn.Module
    """The frozen Linear, Conv2d or norm."""
    weight: Tensor
    """In the frozen weight's shape."""
    bias: Tensor | None
    """Shape (outputs,); also for layers that have no bias of their own."""

    def __call__(self, x: Tensor) -> Tensor:
        """What the layer's output gains, of its input."""
        own = {"weight": self.weight.to(x)}
        if self.inner.bias is not None:
            own["bias"] = torch.zeros(len(self.weight)).to(x)
        gained: Tensor = functional_call(self.inner, own, (x,))
        if self.bias is None:
            return gained
        sides = (1, -1, 1, 1) if isinstance(self.inner, nn.Conv2d | nn.GroupNorm) else (-1,)
        return gained + self.bias.to(x).view(sides)


@dataclass(frozen=True, slots=True)
class LowRankTerm:
    """B A x of a Linear or Conv2d."""

    inner: nn.Module
    down: Tensor
    """A: shape (rank, inputs), of a convolution (rank, inputs, height, width)."""
    up: Tensor
    """B, the scale in it: shape (outputs, rank), of a convolution (outputs, rank, 1, 1)."""

    def __call__(self, x: Tensor) -> Tensor:
        """What the layer's output gains, of its input."""
        down, up = self.down.to(x), self.up.to(x)
        if not isinstance(self.inner, nn.Conv2d):
            return functional.linear(functional.linear(x, down.flatten(1)), up.flatten(1))
        hidden = functional.conv2d(x, down, None, self.inner.stride, self.inner.padding)
        return functional.conv2d(hidden, up)


class FixedSlot:
    """The terms of one slot.

    Args:
        terms: by the layer's name.
    """

    def __init__(self, terms: Mapping[str, Term]) -> None:
        self._terms = terms

    def output(self, layer: str, x: Tensor, y: Tensor, _presentation: int | None) -> Tensor:
        """A layer's output for this slot's rows.

        Args:
            layer: its name.
            x: the input, as the frozen module takes it.
            y: the frozen module's output.
        """
        term = self._terms.get(layer)
        return y if term is None else y + term(x)
