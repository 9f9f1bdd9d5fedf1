"""Renders that show nothing."""

from __future__ import annotations

import math

import torch

from evaluation.metrics.broken import broken


def test_black_constant_and_nan_renders_are_broken_and_others_are_not() -> None:
    source = torch.Generator().manual_seed(0)
    normal = torch.rand(3, 16, 16, generator=source)
    black, flat = torch.zeros(3, 16, 16), torch.tensor([0.2, 0.5, 0.9]).view(3, 1, 1).expand(3, 16, 16)
    nearly = (flat + 0.001 * normal).clamp(0, 1)
    spotted, all_nan = normal.clone(), torch.full((3, 16, 16), math.nan)
    spotted[0, 3, 3] = math.nan
    faint = 0.5 + 0.1 * (normal - 0.5)
    found = broken(torch.stack([normal, faint, black, flat, nearly, spotted, all_nan]))
    assert found.tolist() == [False, False, True, True, True, True, True]


def test_a_drawing_in_one_channel_is_not_broken() -> None:
    image = torch.zeros(1, 3, 16, 16)
    image[0, 2, 4:8] = 1
    assert not broken(image).any()
