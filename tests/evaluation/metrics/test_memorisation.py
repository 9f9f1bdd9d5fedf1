"""Memorisation by hand, by enumeration of all subsets, and on planted copies."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize

from evaluation.metrics.memorisation import ReferenceImages, memorisation, nearest


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def side(embeddings: torch.Tensor, renders: int, groups: list[int] | None = None) -> ReferenceImages:
    """Every image by itself, none left out."""
    count = len(embeddings)
    return ReferenceImages(
        embeddings, groups or list(range(count)), torch.zeros(renders, count, dtype=torch.bool)
    )


@pytest.mark.parametrize("count", [1, 2, 3, 6])
def test_the_expected_nearest_is_the_mean_over_all_subsets(count: int) -> None:
    values = noise(3, 6)
    expected = [np.mean([max(draw) for draw in combinations(row, count)]) for row in values.tolist()]
    assert nearest(values, count).tolist() == pytest.approx(expected)


def test_the_figure_is_the_difference_of_both_sides() -> None:
    renders, training, held_out = noise(4, 8), noise(5, 8, seed=1), noise(2, 8, seed=2)
    found, places = memorisation(renders, side(training, 4), side(held_out, 4))
    for i in range(4):
        near = [float(torch.cosine_similarity(renders[i], image, dim=0)) for image in training]
        far = [float(torch.cosine_similarity(renders[i], image, dim=0)) for image in held_out]
        expected = np.mean([max(pair) for pair in combinations(near, 2)]) - max(far)
        assert float(found[i]) == pytest.approx(100 * expected)
        assert int(places[i]) == int(np.argmax(near))


def test_more_training_images_of_the_same_kind_are_no_memorisation() -> None:
    """Without equal numbers the nearest of 80 would beat the nearest of 8 by far."""
    renders, training, held_out = noise(400, 12), noise(80, 12, seed=1), noise(8, 12, seed=2)
    found, _ = memorisation(renders, side(training, 400), side(held_out, 400))
    cosines = normalize(renders) @ normalize(torch.cat([training, held_out])).T
    naive = 100 * (cosines[:, :80].amax(1) - cosines[:, 80:].amax(1))
    assert float(naive.mean()) > 20
    assert abs(float(found.mean())) < 4


def test_copies_of_training_images_are_found_and_named() -> None:
    training, held_out = noise(10, 12, seed=1), noise(10, 12, seed=2)
    renders = training[[7, 2]] + 0.01 * noise(2, 12)
    found, places = memorisation(renders, side(training, 2), side(held_out, 2))
    assert places.tolist() == [7, 2]
    assert float(found.min()) > 20
    turned, _ = memorisation(renders, side(held_out, 2), side(training, 2))
    assert turned.tolist() == pytest.approx((-found).tolist())


def test_near_duplicates_count_as_one_image() -> None:
    renders, training, held_out = noise(3, 8), noise(4, 8, seed=1), noise(3, 8, seed=2)
    copied = torch.cat([training, training[:1], training[:1]])
    once, _ = memorisation(renders, side(training, 3), side(held_out, 3))
    thrice, _ = memorisation(renders, side(copied, 3, [0, 1, 2, 3, 0, 0]), side(held_out, 3))
    assert thrice.tolist() == pytest.approx(once.tolist())


def test_images_that_are_left_out_are_as_if_they_were_not_there() -> None:
    renders, training, held_out = noise(2, 8), noise(4, 8, seed=1), noise(3, 8, seed=2)
    without = torch.tensor([[True, False, False], [False, False, False]])
    found, _ = memorisation(renders, side(training, 2), ReferenceImages(held_out, [0, 1, 2], without))
    first, _ = memorisation(renders[:1], side(training, 1), side(held_out[1:], 1))
    second, _ = memorisation(renders[1:], side(training, 1), side(held_out, 1))
    assert found.tolist() == pytest.approx([float(first[0]), float(second[0])])
