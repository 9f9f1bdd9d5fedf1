"""Fixed terms against layers whose weights are changed."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.func import functional_call

from trainer.adapters.bank import AdapterBank
from trainer.adapters.fixed import FixedSlot, LowRankTerm, WholeTerm
from trainer.adapters.shape import Shape

LAYERS: dict[str, tuple[Any, tuple[int, ...]]] = {
    "Linear": (nn.Linear(6, 4), (2, 6)),
    "Linear without a bias": (nn.Linear(6, 4, bias=False), (2, 3, 6)),
    "Conv2d": (nn.Conv2d(6, 4, 3, stride=2, padding=1), (2, 6, 5, 5)),
    "GroupNorm": (nn.GroupNorm(2, 6), (2, 6, 3, 3)),
    "LayerNorm": (nn.LayerNorm(6), (2, 3, 6)),
}


@torch.no_grad()
@pytest.mark.parametrize("with_bias", [True, False])
@pytest.mark.parametrize("name", LAYERS)
def test_a_whole_term_is_what_changed_weights_add(name: str, with_bias: bool) -> None:
    inner, shape = LAYERS[name]
    x, weight = torch.randn(shape), torch.randn_like(inner.weight)
    bias = torch.randn(len(inner.weight)) if with_bias else None
    changed = {"weight": inner.weight + weight}
    if inner.bias is not None:
        changed["bias"] = inner.bias + (0 if bias is None else bias)
    wanted = functional_call(inner, changed, (x,))
    if inner.bias is None and bias is not None:
        wanted = wanted + bias
    torch.testing.assert_close(inner(x) + WholeTerm(inner, weight, bias)(x), wanted)


@torch.no_grad()
@pytest.mark.parametrize("name", ["Linear", "Linear without a bias", "Conv2d"])
def test_a_low_rank_term_is_its_product(name: str) -> None:
    inner, shape = LAYERS[name]
    x, down = torch.randn(shape), torch.randn(3, *inner.weight.shape[1:])
    up = torch.randn(4, 3, *(1 for _ in inner.weight.shape[2:]))
    product = (up.flatten(1) @ down.flatten(1)).view_as(inner.weight)
    torch.testing.assert_close(LowRankTerm(inner, down, up)(x), WholeTerm(inner, product, None)(x))


@torch.no_grad()
def test_rows_of_a_fixed_slot_stand_beside_packed_ones() -> None:
    model = nn.Sequential(nn.Linear(6, 6), nn.LayerNorm(6))
    bank = AdapterBank({"unet": model}, {"unet": ["0"]}, 2, norms={"unet": ["1"]})
    bank.open(0, Shape(2, 1.0, ("unet",)), 0)
    packed = torch.randn(2, 6), torch.randn(6, 2)
    bank.load(0, dict(zip(("unet.0.down", "unet.0.up"), packed, strict=True)))
    weight, norm = torch.randn(6, 6), torch.randn(6)
    terms = {
        "unet.0": WholeTerm(bank.frozen("unet.0"), weight, None),
        "unet.1": WholeTerm(bank.frozen("unet.1"), norm, None),
    }
    bank.hold(1, Shape(1, 1.0, ("unet",)), terms)
    x = torch.randn(3, 6)
    with bank.rows([0, 1, None]):
        found = model(x)
    first: Any = bank.frozen("unet.0")
    then: Any = bank.frozen("unet.1")
    wanted = [
        then(first(x[0]) + packed[1] @ packed[0] @ x[0]),
        nn.functional.layer_norm(first(x[1]) + weight @ x[1], (6,), then.weight + norm, then.bias),
        then(first(x[2])),
    ]
    torch.testing.assert_close(found, torch.stack(wanted))
    bank.close(1)
    with bank.rows([None] * 3):
        torch.testing.assert_close(model(x), then(first(x)))


def test_layers_without_a_term_stay_as_they_are() -> None:
    y = torch.randn(2, 3)
    assert FixedSlot({}).output("x", torch.randn(2, 3), y, None) is y
