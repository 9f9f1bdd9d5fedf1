"""Dropout of low-rank terms, row by row: drawn by seed, presentation and layer."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from trainer.adapters.shape import Place, Shape
from trainer.seeds import generator
from trainer.sending import send


@dataclass(frozen=True, slots=True)
class Drop:
    """How one row of a batch is thinned out."""

    shape: Shape
    seed: int
    presentation: int

    def factors(self, layer: Place, tokens: int, width: int) -> Tensor | None:
        """What A x is multiplied by: shape (tokens or 1, width), zeros and 1 / (1 - p)s; None for ones.

        Args:
            layer: where.
            tokens: of the row in this layer.
            width: columns wanted; those above the slot's own rank are one.
        """
        rates, rank = self.shape.dropout, self.shape.rank_of(layer)
        if not rates or not rank:
            return None
        source = generator(self.seed, "dropout", layer.name, self.presentation)
        if torch.rand((), generator=source) < rates.module:
            return torch.zeros(1, width)
        kept = _kept(torch.rand(1, rank, generator=source), rates.rank)
        if rates.hidden:
            kept = kept * _kept(torch.rand(tokens, rank, generator=source), rates.hidden)
        return torch.nn.functional.pad(kept, (0, width - rank), value=1.0)


def mask(drops: tuple[Drop | None, ...], layer: Place, like: Tensor) -> Tensor:
    """The factors of a group's rows.

    Args:
        drops: one a row.
        layer: where.
        like: A x, shape (rows, tokens, width).
    """
    found = [None if drop is None else drop.factors(layer, *like.shape[1:]) for drop in drops]
    tokens = max((part.shape[0] for part in found if part is not None), default=1)
    ones = torch.ones(1, like.shape[-1])
    parts = [(ones if part is None else part).expand(tokens, -1) for part in found]
    return send(torch.stack(parts).to(like.dtype), like.device)


def _kept(uniform: Tensor, rate: float) -> Tensor:
    return (uniform >= rate) / (1 - rate)
