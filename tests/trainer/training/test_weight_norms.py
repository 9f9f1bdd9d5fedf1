"""Norms of delta W by the definition."""

from __future__ import annotations

import pytest
import torch

from trainer.training.weight_norms import limit, product_norms


def leaves(rank: int = 3) -> dict[str, torch.nn.Parameter]:
    source = torch.Generator().manual_seed(0)
    sizes = {"unet.small": (5, 7, 0.1), "unet.large": (5, 9, 3.0), "unet.none": (8, 7, 0.0)}
    found = {}
    for name, (inputs, outputs, size) in sizes.items():
        found[f"{name}.down"] = torch.nn.Parameter(torch.randn(rank, inputs, generator=source).double())
        found[f"{name}.up"] = torch.nn.Parameter(size * torch.randn(rank, outputs, generator=source).double())
    return found


def delta(found: dict[str, torch.nn.Parameter], layer: str) -> torch.Tensor:
    return found[f"{layer}.up"].detach().T @ found[f"{layer}.down"].detach()


def test_the_norm_by_gram_matrices_is_the_norm_of_the_product() -> None:
    found = leaves()
    norms = product_norms(
        [found[f"unet.{name}.down"] for name in ("small", "large", "none")],
        [found[f"unet.{name}.up"] for name in ("small", "large", "none")],
    )
    wanted = [float(delta(found, f"unet.{name}").norm()) for name in ("small", "large", "none")]
    assert norms.tolist() == pytest.approx(wanted, abs=1e-12)


def test_only_what_is_too_large_is_scaled_to_the_limit_and_both_factors_alike() -> None:
    found, before = leaves(), leaves()
    assert limit(found, dict.fromkeys(("unet.small", "unet.large", "unet.none"), 0.5), 2.0) == 1
    assert float(0.5 * delta(found, "unet.large").norm()) == pytest.approx(2.0)
    share = (2.0 / float(0.5 * delta(before, "unet.large").norm())) ** 0.5
    for name, value in found.items():
        wanted = before[name] * share if "large" in name else before[name]
        torch.testing.assert_close(value, wanted)


def test_layers_of_other_ranks_and_scales_are_limited_each_by_its_own() -> None:
    low, high = leaves(2), leaves(5)
    found = {f"low.{name}": leaf for name, leaf in low.items()} | {
        f"high.{name}": v for name, v in high.items()
    }
    scales = {name.removesuffix(".down"): 0.5 for name in found if name.endswith(".down")}
    scales["high.unet.small"] = 40.0
    assert limit(found, scales, 2.0) == 3
    for name, scale in scales.items():
        norm = float(scale * delta(found, name).norm())
        large = "large" in name or scale == 40.0
        assert norm == pytest.approx(2.0) if large else norm < 2.0
