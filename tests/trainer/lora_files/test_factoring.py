"""The best factors of a difference, against torch's own SVD."""

from __future__ import annotations

import pytest
import torch

from trainer.lora_files.factoring import MOST_ERROR, factored


def draw(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


@pytest.mark.parametrize("shape", [(12, 8), (8, 12), (12, 8, 3, 3), (40, 4, 1, 1)])
@pytest.mark.parametrize("rank", [1, 3])
def test_factors_miss_what_the_smaller_singular_values_hold(shape: tuple[int, ...], rank: int) -> None:
    whole = draw(*shape)
    values = torch.linalg.svdvals(whole.flatten(1).double())
    found = factored(whole, rank)
    assert found.error == pytest.approx(float(values[rank:].norm() / values.norm()), rel=1e-6)
    product = (found.layer.up.flatten(1) @ found.layer.down.flatten(1)).view(whole.shape) * found.layer.scale
    assert float((product - whole).norm() / whole.norm()) == pytest.approx(found.error, rel=1e-4)
    assert found.layer.down.shape == (rank, *shape[1:])
    assert found.layer.up.shape == (shape[0], rank, *(1 for _ in shape[2:]))
    assert found.needed == len(values)


@pytest.mark.parametrize("shape", [(20, 16), (16, 20)])
def test_a_low_rank_is_found_again_also_where_it_was_rounded(shape: tuple[int, int]) -> None:
    exact = draw(shape[0], 3) @ draw(3, shape[1])
    for whole in (exact, exact.half().float()):
        found = factored(whole, 8)
        assert found.layer.rank == found.needed == 3
        assert found.error < MOST_ERROR
        torch.testing.assert_close(found.layer.up @ found.layer.down, whole, rtol=0, atol=2e-2)


def test_rows_of_a_are_as_long_as_those_of_a_new_lora() -> None:
    fresh = torch.nn.init.kaiming_uniform_(torch.empty(4, 4096), a=5**0.5)
    found = factored(draw(64, 4096), 4).layer
    torch.testing.assert_close(found.down.norm(dim=1), torch.full((4,), 3**-0.5))
    torch.testing.assert_close(fresh.norm(dim=1), torch.full((4,), 3**-0.5), rtol=0.05, atol=0)


def test_no_difference_has_factors_that_add_nothing() -> None:
    found = factored(torch.zeros(6, 5), 4)
    assert (found.error, found.needed, found.layer.rank) == (0.0, 1, 1)
    assert not (found.layer.up @ found.layer.down).any()
    assert bool(torch.isfinite(found.layer.down).all())
