"""Tests of counting living tensors."""

from __future__ import annotations

import torch
from torch import nn

from trainer.footprint.tracker import Tracker

KIB = 1024


def floats(kib: int, device: str = "cpu") -> torch.Tensor:
    return torch.zeros(kib * KIB // 4, device=device)


def test_a_tensor_counts_until_its_last_view_is_gone() -> None:
    with Tracker() as tracker:
        held = floats(8)
        view = held[:2].view(2, 1)
        assert tracker.live == 8 * KIB
        del held
        assert tracker.live == 8 * KIB
        del view
        assert (tracker.live, tracker.peak) == (0, 8 * KIB)


def test_the_peak_is_the_most_at_one_time() -> None:
    with Tracker() as tracker:
        for kib in (4, 16, 8):
            held = floats(kib)
            del held
        assert tracker.peak == 16 * KIB
        kept = floats(2)
        tracker.rewind()
        assert tracker.peak == tracker.live == kept.nbytes


def test_what_a_backward_pass_makes_and_saves_is_counted() -> None:
    weight = nn.Parameter(floats(4))
    with Tracker() as tracker:
        tracker.adopt([weight])
        said = weight.exp()  # saved for the backward pass
        said.sum().backward()
        saved = tracker.live
    assert saved == 3 * 4 * KIB  # weight, its exponential and its gradient; the sum is gone


def test_networks_that_were_made_before_are_adopted_once() -> None:
    network = nn.Linear(16, 16, bias=False)
    tracker = Tracker()
    tracker.adopt_network(network)
    tracker.adopt(network.parameters())
    assert tracker.live == 16 * 16 * 4


def test_tensors_without_bytes_count_as_if_they_had_them() -> None:
    with Tracker() as tracker:
        held = floats(8, "meta")
        assert tracker.live == held.nbytes == 8 * KIB
