"""CLIP similarities in points of 100 (pure)."""

from __future__ import annotations

from torch import Tensor
from torchmetrics.functional import pairwise_cosine_similarity


def image_image(renders: Tensor, references: Tensor) -> Tensor:
    """Mean cosine of each render to all references, times 100 (CLIP-I, Ruiz et al. 2023, section 4.2).

    Args:
        renders: embeddings, shape (n, width).
        references: embeddings, shape (m, width).

    Returns:
        Shape (n,), from -100 to 100.
    """
    cosines: Tensor = pairwise_cosine_similarity(renders, references)
    return 100 * cosines.mean(dim=1)


def text_image(renders: Tensor, prompts: Tensor) -> Tensor:
    """Similarity of each render to its own prompt: 100 max(cos, 0) (CLIPScore, Hessel et al. 2021, in
    torchmetrics' scale).

    Args:
        renders: embeddings, shape (n, width).
        prompts: embeddings, shape (n, width).

    Returns:
        Shape (n,), from 0 to 100.
    """
    cosines: Tensor = pairwise_cosine_similarity(renders, prompts)
    return 100 * cosines.diagonal().clamp(min=0)
