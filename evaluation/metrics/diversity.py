"""How much renders of one prompt differ from seed to seed (pure)."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import normalize


def diversity(renders: Tensor) -> Tensor:
    """100 (1 - mean cosine of all pairs of renders of one prompt): 0 is mode collapse.

    Ruiz et al. 2023 (DreamBooth, section 4.3) take the same mean over pairs, of LPIPS.

    Args:
        renders: embeddings, shape (..., seeds, width), at least 2 seeds.

    Returns:
        Shape (...), from 0 to 200.

    Raises:
        ValueError: there are no pairs.
    """
    seeds = renders.shape[-2]
    if seeds < 2:
        raise ValueError(f"Diversity needs at least 2 renders of a prompt, but got {seeds}.")
    unit = normalize(renders.double(), dim=-1)
    total = unit.sum(dim=-2).square().sum(dim=-1)
    same = unit.square().sum(dim=(-2, -1))
    return 100 * (1 - (total - same) / (seeds * (seeds - 1)))
