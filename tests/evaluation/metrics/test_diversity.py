"""Diversity by hand and against torchmetrics."""

from __future__ import annotations

import pytest
import torch
from torchmetrics.functional import pairwise_cosine_similarity

from evaluation.metrics.diversity import diversity

EAST, NORTH, WEST = [3.0, 0.0], [0.0, 1.0], [-1.0, 0.0]


def test_three_directions_by_hand() -> None:
    """Cosines 0, -1 and 0: the mean is -1/3."""
    assert float(diversity(torch.tensor([EAST, NORTH, WEST]))) == pytest.approx(100 * 4 / 3)


def test_equal_renders_are_a_collapse() -> None:
    assert float(diversity(torch.tensor([[EAST, EAST], [NORTH, NORTH]])).abs().max()) == pytest.approx(0)


def test_each_prompt_has_the_mean_over_its_pairs() -> None:
    renders = torch.randn(4, 5, 16, generator=torch.Generator().manual_seed(0))
    for one, found in zip(renders, diversity(renders), strict=True):
        cosines = pairwise_cosine_similarity(one, one)
        pairs = [float(cosines[i, j]) for i in range(5) for j in range(i)]
        assert float(found) == pytest.approx(100 * (1 - sum(pairs) / 10), abs=1e-4)


def test_one_seed_has_no_diversity() -> None:
    with pytest.raises(ValueError, match="at least 2 renders of a prompt, but got 1"):
        diversity(torch.ones(3, 1, 4))
