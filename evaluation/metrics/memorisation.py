"""Whether renders copy the training images (pure)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import normalize


@dataclass(frozen=True, slots=True)
class ReferenceImages:
    """Images that renders are compared with."""

    embeddings: Tensor
    """Shape (k, width)."""
    groups: Sequence[int]
    """k numbers: near-duplicates share one, and count as one image, as near as the nearest of them."""
    left_out: Tensor
    """Images that a render is not compared with, shape (n, k), bool; at least one group must be left to each."""


def memorisation(
    renders: Tensor, training: ReferenceImages, held_out: ReferenceImages
) -> tuple[Tensor, Tensor]:
    """Similarity to the nearest training image minus that to the nearest held-out image, times 100.

    A LoRA that has learnt the subject or style comes nearer to both; one that copies comes nearer to the
    training images alone (the idea of the authenticity of Alaa et al. 2022 and of C_T of Meehan et al. 2020,
    with images never trained on as the reference). The nearest of many is nearer than the nearest of few:
    both sides are read as the expected nearest among m images drawn from them, with m the number on the
    smaller side.

    Args:
        renders: embeddings, shape (n, width).
        training: the images that were trained on.
        held_out: images that were not.

    Returns:
        The figure of each render, shape (n,), positive where it is nearer to the training set; and the index
        of its nearest training image, shape (n,), left out or not.
    """
    unit = normalize(renders.double(), dim=-1)
    cosines = [unit @ normalize(side.embeddings.double(), dim=-1).T for side in (training, held_out)]
    near, far = (_grouped(c, side) for c, side in zip(cosines, (training, held_out), strict=True))
    figures = []
    for row, other in zip(near, far, strict=True):
        row, other = row[row.isfinite()], other[other.isfinite()]
        count = min(len(row), len(other))
        figures.append(100 * (nearest(row[None], count) - nearest(other[None], count)))
    return torch.cat(figures), cosines[0].argmax(dim=1)


def nearest(similarities: Tensor, count: int) -> Tensor:
    """The expected largest of ``count`` values drawn without replacement: shape (n, k) -> (n,).

    With values in ascending order, the i-th (from 1) of k is the largest of a draw in
    C(i - 1, count - 1) of C(k, count) cases (David & Nagaraja 2003, section 3.7), so nothing is sampled.
    """
    total = similarities.shape[1]
    cases = [math.comb(i, count - 1) / math.comb(total, count) for i in range(total)]
    return similarities.sort(dim=1).values @ torch.tensor(cases, dtype=similarities.dtype)


def _grouped(cosines: Tensor, side: ReferenceImages) -> Tensor:
    """(n, images) -> (n, groups); minus infinity where a whole group is left out."""
    places = {name: place for place, name in enumerate(dict.fromkeys(side.groups))}
    index = torch.tensor([places[name] for name in side.groups]).expand_as(cosines)
    empty = cosines.new_full((len(cosines), len(places)), -math.inf)
    return empty.scatter_reduce(1, index, cosines.masked_fill(side.left_out, -math.inf), "amax")
