"""Energy distance between styles."""

from __future__ import annotations

import pytest
import torch

from evaluation.metrics.style import style_distance


def drawn(count: int, seed: int, shift: float = 0.0) -> torch.Tensor:
    return torch.randn(count, 2, 5, generator=torch.Generator().manual_seed(seed)) + shift


def test_it_is_half_the_energy_distance_of_the_two_sets() -> None:
    ours, theirs = drawn(30, 0, 0.5), drawn(40, 1)
    unit = (2 * theirs.var(dim=0).sum(dim=-1)).sqrt()
    flat = [(side / unit[:, None]).flatten(1) / 2**0.5 for side in (ours, theirs)]

    def pairs(a: torch.Tensor, b: torch.Tensor) -> float:
        distances = [float((x - y).norm()) for x in a for y in b if x is not y]
        apart = [d for d in distances if d > 0]
        return sum(apart) / len(apart)

    energy = 2 * pairs(flat[0], flat[1]) - pairs(flat[0], flat[0]) - pairs(flat[1], flat[1])
    assert float(style_distance(ours, theirs).mean()) == pytest.approx(50 * energy, rel=1e-4)


def test_one_style_has_no_distance_and_alikeness_is_no_merit() -> None:
    real = drawn(200, 1)
    same = float(style_distance(drawn(200, 0), real).mean())
    other = float(style_distance(drawn(200, 0, 1.0), real).mean())
    mean = real.mean(dim=0, keepdim=True).expand(200, -1, -1)
    assert abs(same) < 1 < other
    assert float(style_distance(mean, real).mean()) > 10 * abs(same)


def test_the_unit_does_not_depend_on_how_large_a_layers_features_are() -> None:
    ours, real = drawn(6, 0, 1.0), drawn(9, 1)
    larger = torch.tensor([1.0, 1000.0])[:, None]
    torch.testing.assert_close(style_distance(ours * larger, real * larger), style_distance(ours, real))


def test_a_single_render_is_measured() -> None:
    assert style_distance(drawn(1, 0), drawn(9, 1)).isfinite().all()
