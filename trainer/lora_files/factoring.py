"""Low-rank factors of a weight's difference, whatever algorithm made it (pure)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from trainer.lora_files.layers import LowRank

MOST_ERROR = 1e-3
"""Share of a difference's norm that its factors may miss; half precision rounds 3e-4 away."""
_FRESH = 3**-0.5
"""Norm of A's rows where a new LoRA begins (uniform up to 1 / sqrt(inputs)), so that training goes on alike."""


@dataclass(frozen=True, slots=True)
class Factored:
    """The best factors of a rank, and what they miss."""

    layer: LowRank
    error: float
    """Share of the difference's norm."""
    needed: int
    """The smallest rank that misses at most ``MOST_ERROR``."""


def factored(difference: Tensor, rank: int) -> Factored:
    """The factors of at most a rank that come nearest to a difference (Eckart and Young 1936).

    Args:
        difference: of a Linear (outputs, inputs) or a Conv2d (outputs, inputs, h, w).
        rank: the most.

    Returns:
        Factors of the rank that is needed, or of the most, with alpha = rank.
    """
    flat = difference.flatten(1).double()
    tall = len(flat) > flat.shape[1]
    side = flat.T if tall else flat
    squares, vectors = torch.linalg.eigh(side @ side.T)
    squares, vectors = squares.flip(0).clamp(min=0), vectors.flip(1)
    total = float(flat.square().sum())
    missed = ((total - squares.cumsum(0)) / total).clamp(min=0).sqrt() if total else torch.zeros(len(squares))
    needed = 1 + int((missed > MOST_ERROR).sum())
    kept = min(rank, needed)
    basis = vectors[:, :kept]
    other = side.T @ basis
    up, down = (other, basis.T) if tall else (basis, other.T)
    norms = down.norm(dim=1).clamp(min=torch.finfo(torch.float64).tiny)
    down, up = down / norms[:, None] * _FRESH, up * norms / _FRESH
    left = float((flat - up @ down).norm())
    tail = (1,) * (difference.ndim - 2)
    layer = LowRank(
        down.float().view(kept, *difference.shape[1:]), up.float().view(len(up), kept, *tail), float(kept)
    )
    return Factored(layer, left / total**0.5 if total else 0.0, needed)
