"""Whether renders copy the training images (pure)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import normalize


def memorisation(
    renders: Tensor, training: Tensor, held_out: Tensor, groups: tuple[Sequence[int], Sequence[int]]
) -> tuple[Tensor, Tensor]:
    """Similarity to the nearest training image minus that to the nearest held-out image, times 100.

    A LoRA that has learnt the subject or style comes nearer to both; one that copies comes nearer to the
    training images alone (the idea of the authenticity of Alaa et al. 2022 and of C_T of Meehan et al. 2020,
    with images never trained on as the reference). The nearest of many is nearer than the nearest of few:
    both sides are read as the expected nearest among m images drawn from them, with m the smaller side's
    number.

    Args:
        renders: embeddings, shape (n, width).
        training: embeddings, shape (t, width).
        held_out: embeddings, shape (h, width).
        groups: for each side, t and h numbers: near-duplicates share one, and count as one image.

    Returns:
        The figure of each render, shape (n,), positive where it is nearer to the training set; and the index
        of its nearest training image, shape (n,).
    """
    unit = normalize(renders.double(), dim=-1)
    cosines = [unit @ normalize(side.double(), dim=-1).T for side in (training, held_out)]
    near, far = (_nearest_of_group(c, g) for c, g in zip(cosines, groups, strict=True))
    count = min(near.shape[1], far.shape[1])
    return 100 * (nearest(near, count) - nearest(far, count)), cosines[0].argmax(dim=1)


def nearest(similarities: Tensor, count: int) -> Tensor:
    """The expected largest of ``count`` values drawn without replacement: shape (n, k) -> (n,).

    With values in ascending order, the i-th (from 1) of k is the largest of a draw in
    C(i - 1, count - 1) of C(k, count) cases (David & Nagaraja 2003, section 3.7), so nothing is sampled.
    """
    total = similarities.shape[1]
    cases = [math.comb(i, count - 1) / math.comb(total, count) for i in range(total)]
    return similarities.sort(dim=1).values @ torch.tensor(cases, dtype=similarities.dtype)


def _nearest_of_group(cosines: Tensor, groups: Sequence[int]) -> Tensor:
    """(n, images) -> (n, groups): a group is as near as its nearest member."""
    places = {name: place for place, name in enumerate(dict.fromkeys(groups))}
    index = torch.tensor([places[name] for name in groups]).expand_as(cosines)
    empty = cosines.new_full((len(cosines), len(places)), -math.inf)
    return empty.scatter_reduce(1, index, cosines, "amax")
