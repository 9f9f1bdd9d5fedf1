"""Dropout factors: their rates, their expectation, and what they are drawn by."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from trainer.adapters.dropout import Drop
from trainer.adapters.group import Layer
from trainer.adapters.shape import Dropout, Shape

LAYER = Layer("unet.a", 6, 6, False)


def factors(dropout: Dropout, presentations: range, tokens: int = 5, width: int = 8, seed: int = 0) -> Tensor:
    shape = Shape(8, 1.0, ("unet",), dropout=dropout)
    found = [Drop(shape, seed, shown).factors(LAYER, tokens, width) for shown in presentations]
    return torch.stack([part.expand(tokens, -1) for part in found if part is not None])


@pytest.mark.parametrize(
    ("dropout", "mean", "share"),
    [
        (Dropout(hidden=0.3), 1.0, 0.3),
        (Dropout(rank=0.4), 1.0, 0.4),
        (Dropout(module=0.25), 0.75, 0.25),
        (Dropout(hidden=0.5, rank=0.5), 1.0, 0.75),
    ],
    ids=str,
)
def test_rates_and_expectation_are_those_of_kohya(dropout: Dropout, mean: float, share: float) -> None:
    found = factors(dropout, range(1500))
    assert float(found.mean()) == pytest.approx(mean, abs=0.03)
    assert float((found == 0).float().mean()) == pytest.approx(share, abs=0.03)
    kept = 1 / ((1 - dropout.hidden) * (1 - dropout.rank))
    assert found.unique().tolist() == pytest.approx([0.0, kept])


def test_elements_dimensions_and_whole_terms_are_dropped_apart() -> None:
    hidden = factors(Dropout(hidden=0.5), range(1))[0]
    assert not torch.equal(hidden[0], hidden[1])
    ranks = factors(Dropout(rank=0.5), range(1))[0]
    assert torch.equal(ranks[0], ranks[1])
    assert 0 < float((ranks[0] == 0).float().mean()) < 1
    modules = factors(Dropout(module=0.5), range(40))
    assert {float(row.sum()) for row in modules} == {0.0, 40.0}


def test_the_draw_depends_on_seed_presentation_and_layer_and_not_on_the_group() -> None:
    dropout = Dropout(hidden=0.5, rank=0.1)
    assert torch.equal(factors(dropout, range(3)), factors(dropout, range(3)))
    assert not torch.equal(factors(dropout, range(1)), factors(dropout, range(1, 2)))
    assert not torch.equal(factors(dropout, range(1)), factors(dropout, range(1), seed=1))
    wide = factors(dropout, range(1), width=12)[0]
    assert torch.equal(wide[:, :8], factors(dropout, range(1))[0])
    drop = Drop(Shape(8, 1.0, ("unet",), dropout=dropout), 0, 0)
    other = drop.factors(Layer("unet.b", 6, 6, False), 5, 8)
    assert other is not None
    assert not torch.equal(other, factors(dropout, range(1))[0])


def test_a_layer_without_a_lora_draws_nothing() -> None:
    shape = Shape(8, 1.0, ("text_encoder",), dropout=Dropout(hidden=0.5))
    assert Drop(shape, 0, 0).factors(LAYER, 5, 8) is None
