"""Similarities by hand."""

from __future__ import annotations

import pytest
import torch

from evaluation.metrics.similarity import image_image, text_image

EAST, NORTH, WEST = torch.tensor([3.0, 0.0]), torch.tensor([0.0, 1.0]), torch.tensor([-1.0, 0.0])


def test_a_render_is_compared_with_every_reference() -> None:
    found = image_image(torch.stack([EAST, NORTH]), torch.stack([EAST, NORTH, WEST]))
    assert found.tolist() == pytest.approx([0.0, 100 / 3], abs=1e-5)


def test_a_render_is_compared_with_its_own_prompt_only() -> None:
    half = torch.tensor([1.0, 3**0.5])
    found = text_image(torch.stack([EAST, EAST, EAST]), torch.stack([EAST * 7, half, WEST]))
    assert found.tolist() == pytest.approx([100.0, 50.0, 0.0], abs=1e-4)
