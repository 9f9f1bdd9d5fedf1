"""Keeps every layer's delta W below a norm (sd-scripts' ``scale_weight_norms``)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn


@torch.no_grad()
def limit(leaves: Mapping[str, nn.Parameter], scales: Mapping[str, float], largest: float) -> int:
    """Shrinks A and B of each layer alike until the Frobenius norm of scale B A is at most ``largest``.

    Args:
        leaves: ``<layer>.down`` (rank, inputs) and ``<layer>.up`` (rank, outputs), changed in place.
        scales: alpha / rank by layer.
        largest: the limit.

    Returns:
        How many layers were shrunk.
    """
    by_rank: dict[int, list[str]] = {}
    for layer in scales:
        by_rank.setdefault(len(leaves[f"{layer}.down"]), []).append(layer)
    return sum(_limit(leaves, {name: scales[name] for name in names}, largest) for names in by_rank.values())


def _limit(leaves: Mapping[str, nn.Parameter], scales: Mapping[str, float], largest: float) -> int:
    """The same for layers of one rank."""
    layers = list(scales)
    products = product_norms(
        [leaves[f"{layer}.down"] for layer in layers], [leaves[f"{layer}.up"] for layer in layers]
    )
    norms = products * products.new_tensor([scales[layer] for layer in layers])
    over = (norms > largest).nonzero().flatten().tolist()
    for i in over:
        share = (largest / norms[i]).sqrt()
        leaves[f"{layers[i]}.down"].mul_(share)
        leaves[f"{layers[i]}.up"].mul_(share)
    return len(over)


def product_norms(downs: list[Tensor], ups: list[Tensor]) -> Tensor:
    """Frobenius norms of B A by their Gram matrices, |B A|^2 = sum(B^T B * A A^T): shape (layers,).

    Args:
        downs: A of each layer, shape (rank, inputs).
        ups: B transposed of each layer, shape (rank, outputs).
    """
    return (_grams(downs) * _grams(ups)).sum(dim=(1, 2)).clamp(min=0).sqrt()


def _grams(factors: list[Tensor]) -> Tensor:
    """F F^T of each factor (rank, width), one batched product per width: shape (layers, rank, rank)."""
    rank = factors[0].shape[0]
    grams = factors[0].new_empty(len(factors), rank, rank)
    by_width: dict[int, list[int]] = {}
    for i, factor in enumerate(factors):
        by_width.setdefault(factor.shape[1], []).append(i)
    for where in by_width.values():
        stacked = torch.stack([factors[i] for i in where])
        grams[where] = stacked @ stacked.mT
    return grams
