"""Compiled blocks with banked layers: no graph break, nothing compiled anew for another pack, equal results."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from trainer.adapters.bank import AdapterBank, Row, Shape
from trainer.adapters.shape import Dropout
from trainer.adapters.targets import unet_targets
from trainer.seeds import generator

RANKS = {0: 4, 1: 4, 2: 8, 3: 8, 4: 16, 5: 2}
PACKS: list[list[Row]] = [
    [0],
    [0, 1],
    [0, 0, 1, 1],
    [0, 1, 2, 3],
    [2, 3, 4],
    [0, 5, 4, 4],
    [1],
    [None, 0],
    [5, 5, 5],
    [0, 1, 2, 3, 4, 5],
]


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    yield
    torch._dynamo.reset()


def wrapped(tiny_unet: Any, backend: str | None, **shape: Any) -> tuple[Any, AdapterBank]:
    unet = copy.deepcopy(tiny_unet)
    bank = AdapterBank({"unet": unet}, {"unet": unet_targets(unet)}, len(RANKS))
    for slot, rank in RANKS.items():
        bank.open(slot, Shape(rank, 0.5 + 0.1 * slot, ("unet",), **shape), seed=slot)
        for name, leaf in bank.leaves(slot).items():
            leaf.data.add_(0.05 * torch.randn(leaf.shape, generator=generator(slot, name)))
    if backend:
        bank.compile(unet, backend)
    return unet, bank


def passed(unet: Any, bank: AdapterBank, rows: list[Row]) -> tuple[Tensor, Tensor]:
    """Output and all gradients of a step."""
    source = generator("step", len(rows))
    x = torch.randn(len(rows), 4, 16, 16, generator=source)
    text = torch.randn(len(rows), 9, unet.config.cross_attention_dim, generator=source)
    for slot in RANKS:
        bank.gradients(slot).zero_()
    with bank.rows(rows, list(range(len(rows)))):
        out = unet(x, torch.full((len(rows),), 10), encoder_hidden_states=text).sample
        out.square().sum().backward()
    return out.detach(), torch.cat([bank.gradients(slot) for slot in RANKS])


def test_ten_packs_take_two_graphs_without_a_break_and_give_the_same_numbers(tiny_unet: Any) -> None:
    plain, compiled = wrapped(tiny_unet, None), wrapped(tiny_unet, "aot_eager")
    for rows in PACKS:
        for found, wanted in zip(passed(*compiled, rows), passed(*plain, rows), strict=True):
            assert torch.equal(found, wanted)
    counters = torch._dynamo.utils.counters
    assert not counters["graph_break"]
    assert 0 < counters["stats"]["unique_graphs"] <= 2


def test_dropout_is_the_same_when_its_term_is_computed_again(tiny_unet: Any) -> None:
    shape = {"dropout": Dropout(hidden=0.3, rank=0.2, module=0.2)}
    plain, compiled = wrapped(tiny_unet, None, **shape), wrapped(tiny_unet, "aot_eager", **shape)
    for found, wanted in zip(passed(*compiled, [0, 1, 4, 4]), passed(*plain, [0, 1, 4, 4]), strict=True):
        assert torch.equal(found, wanted)


def test_rows_of_dora_go_without_and_others_are_compiled_again_afterwards(tiny_unet: Any) -> None:
    plain, compiled = wrapped(tiny_unet, None), wrapped(tiny_unet, "aot_eager")
    for _, bank in (plain, compiled):
        bank.close(5)
        bank.open(5, Shape(2, 1.0, ("unet",), dora=True), seed=5)
    graphs = []
    for rows in ([0, 1], [0, 5], [0, 1]):
        found, wanted = passed(*compiled, rows), passed(*plain, rows)
        torch.testing.assert_close(found, wanted, rtol=1e-6, atol=1e-6)
        graphs.append(torch._dynamo.utils.counters["stats"]["unique_graphs"])
    assert graphs[0] == graphs[2] > 0


@pytest.mark.slow
def test_compiled_for_real_the_numbers_are_the_same_to_rounding(tiny_unet: Any) -> None:
    plain, compiled = wrapped(tiny_unet, None), wrapped(tiny_unet, "inductor")
    for rows in PACKS[:4]:
        for found, wanted in zip(passed(*compiled, rows), passed(*plain, rows), strict=True):
            assert (found - wanted).norm() < 1e-5 * wanted.norm()
