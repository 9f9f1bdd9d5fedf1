"""Flat parameters against an optimiser that sees every leaf tensor for itself."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from trainer.plans.optimiser import OptimiserName, OptimiserPlan
from trainer.plans.optimiser_kinds import OPTIMISERS
from trainer.training import optimisers
from trainer.training.joined import Joined

SHAPES = [(4, 6), (4, 3), (2, 6), (2, 5)]
ELEMENTWISE = sorted(name for name, kind in OPTIMISERS.items() if not (kind.leafwise or kind.eight_bit))


def leaves(gap: int, dtype: torch.dtype = torch.float64) -> list[nn.Parameter]:
    """Leaf tensors in one row, so many unused numbers after each, gradients likewise."""
    sizes = [torch.Size(shape).numel() for shape in SHAPES]
    row, gradients = (torch.zeros(sum(sizes) + gap * len(sizes), dtype=dtype) for _ in range(2))
    found, place, source = [], 0, torch.Generator().manual_seed(0)
    for shape, size in zip(SHAPES, sizes, strict=True):
        leaf = nn.Parameter(row[place : place + size].view(shape))
        leaf.data.copy_(torch.randn(shape, generator=source, dtype=dtype))
        leaf.grad = gradients[place : place + size].view(shape)
        found.append(leaf)
        place += size + gap
    return found


def pull(found: list[nn.Parameter], step: int) -> None:
    source = torch.Generator().manual_seed(step)
    for leaf in found:
        assert leaf.grad is not None
        leaf.grad.copy_(torch.randn(leaf.shape, generator=source, dtype=leaf.dtype) + leaf.detach())


def groups_of(found: list[nn.Parameter]) -> optimisers.Groups:
    return [{"params": found[:2], "lr": 1e-2}, {"params": found[2:], "lr": 1e-2}]


@pytest.mark.parametrize("gap", [0, 3], ids=["adjacent", "apart"])
@pytest.mark.parametrize("name", ELEMENTWISE)
def test_flat_parameters_move_as_the_leaves_for_themselves(name: OptimiserName, gap: int) -> None:
    plan = OptimiserPlan(name=name, weight_decay=0.1, args={"d0": 1e-3} if OPTIMISERS[name].adaptive else {})
    alone, together = leaves(1), leaves(gap)
    plain = optimisers.build(plan, groups_of(alone))
    joined = Joined(groups_of(together))
    flat = optimisers.build(plan, joined.groups)
    for step in range(6):
        pull(alone, step)
        pull(together, step)
        plain.step()
        with joined.gathered():
            flat.step()
    for one, other in zip(alone, together, strict=True):
        torch.testing.assert_close(other.data, one.data, rtol=1e-9, atol=1e-9)


def test_what_lies_between_leaves_does_not_change_what_eight_bits_round() -> None:
    plan = OptimiserPlan(name="adamw8bit")
    moved = []
    for gap in (0, 5):
        found = leaves(gap, torch.float32)
        joined = Joined(groups_of(found))
        optimiser = optimisers.build(plan, joined.groups)
        for step in range(4):
            pull(found, step)
            with joined.gathered():
                optimiser.step()
        moved.append(torch.cat([leaf.detach().flatten() for leaf in found]))
    assert torch.equal(*moved)


def test_a_group_without_gradients_rests_and_the_others_do_not() -> None:
    found = leaves(0)
    before = [leaf.detach().clone() for leaf in found]
    pull(found, 0)
    for leaf in found[2:]:
        leaf.grad = None
    joined = Joined(groups_of(found))
    optimiser = optimisers.build(OptimiserPlan(weight_decay=0.1), joined.groups)
    with joined.gathered():
        optimiser.step()
    moved = [not torch.equal(leaf, was) for leaf, was in zip(found, before, strict=True)]
    assert moved == [True, True, False, False]


@pytest.mark.parametrize("gap", [0, 3], ids=["adjacent", "apart"])
def test_changed_gradients_reach_the_leaves(gap: int) -> None:
    found = leaves(gap)
    pull(found, 0)
    before = [leaf.grad.clone() for leaf in found if leaf.grad is not None]
    joined = Joined(groups_of(found))
    with joined.gathered("gradients"):
        for group in joined.groups:
            group["params"][0].grad.mul_(2)
    for leaf, was in zip(found, before, strict=True):
        assert leaf.grad is not None
        assert torch.equal(leaf.grad, 2 * was)


def test_between_steps_flat_parameters_take_no_memory() -> None:
    found = leaves(3)
    joined = Joined(groups_of(found))
    pull(found, 0)
    with joined.gathered():
        assert [group["params"][0].numel() for group in joined.groups] == [36, 22]
    assert [group["params"][0].numel() for group in joined.groups] == [0, 0]
