"""Tests of the frozen product; the low-rank terms are tested through the bank in test_adapters."""

from __future__ import annotations

import pytest
import torch

from trainer.adapters.linear import ONEDNN_FROM, frozen_linear


@pytest.mark.parametrize("rows", [2, 64])
@pytest.mark.parametrize("transposed", [False, True])
def test_the_frozen_product_is_the_linear_one_whichever_library_computes_it(
    rows: int, transposed: bool
) -> None:
    source = torch.Generator().manual_seed(0)
    x = torch.randn(rows, 16, 128, generator=source)
    weight = torch.randn(128, 128, generator=source)
    assert (x.numel() * 128 >= ONEDNN_FROM) == (rows == 64)
    weight = weight.t() if transposed else weight
    bias = None if transposed else torch.randn(128, generator=source)
    exact = torch.nn.functional.linear(x.double(), weight.double(), None if bias is None else bias.double())
    assert (frozen_linear(x, weight, bias) - exact).norm() < 1e-6 * exact.norm()
