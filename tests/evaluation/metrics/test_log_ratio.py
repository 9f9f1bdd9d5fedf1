"""Log ratios by hand."""

from __future__ import annotations

import math

import pytest
import torch

from evaluation.metrics.log_ratio import by_image, by_timestep, log_ratio

BASE = torch.tensor([[1.0, 0.1], [2.0, 0.4]])
LOSS = torch.tensor([[0.5, 0.1], [2.0, 0.1]])


def test_half_the_loss_is_minus_log_two() -> None:
    found = log_ratio(LOSS, BASE)
    wanted = torch.tensor([[-math.log(2), 0.0], [0.0, -math.log(4)]], dtype=torch.float64)
    torch.testing.assert_close(found, wanted, rtol=1e-6, atol=1e-6)
    assert by_image(found).tolist() == pytest.approx([-math.log(2) / 2, -math.log(4) / 2], abs=1e-6)
    assert by_timestep(found).tolist() == pytest.approx([-math.log(2) / 2, -math.log(4) / 2], abs=1e-6)


def test_cells_count_alike_whatever_their_loss() -> None:
    """A plain mean would see the large cell only."""
    base = torch.tensor([[100.0, 0.01]])
    found = by_image(log_ratio(base * torch.tensor([[1.1, 0.5]]), base))
    assert found.item() == pytest.approx((math.log(1.1) + math.log(0.5)) / 2, abs=1e-6)


def test_subjects_broadcast_against_the_base() -> None:
    assert log_ratio(torch.stack([LOSS, BASE]), BASE).shape == (2, 2, 2)
    assert log_ratio(torch.stack([LOSS, BASE]), BASE)[1].abs().max() == 0
