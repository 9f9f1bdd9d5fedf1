"""Each optimiser's own scale of learning rates, and its first step by hand."""

from __future__ import annotations

from typing import get_args

import pytest
import torch

from trainer import optimisers
from trainer.plan import OptimiserName, OptimiserPlan


def leaf(size: int = 4) -> torch.nn.Parameter:
    parameter = torch.nn.Parameter(torch.ones(size))
    parameter.grad = torch.full((size,), 0.5)
    return parameter


def groups() -> optimisers.Groups:
    return [{"params": [leaf()], "lr": 3e-4}, {"params": [leaf()], "lr": 1.5e-4}]


def test_every_name_has_a_factory() -> None:
    assert set(optimisers.OPTIMISERS) == set(get_args(OptimiserName))


@pytest.mark.parametrize(
    ("name", "rates"),
    [
        ("adamw", [3e-4, 1.5e-4]),
        ("adamw8bit", [3e-4, 1.5e-4]),
        ("lion", [1e-4, 0.5e-4]),
        ("prodigy", [1.0, 1.0]),
    ],
)
def test_rates_are_converted_from_the_scale_of_adamw(name: OptimiserName, rates: list[float]) -> None:
    optimiser = optimisers.build(OptimiserPlan(name=name), groups())
    assert [group["lr"] for group in optimiser.param_groups] == pytest.approx(rates)
    assert [optimisers.own_rate(name, group["lr"]) for group in groups()] == pytest.approx(rates)


@pytest.mark.parametrize("name", sorted(optimisers.OPTIMISERS))
def test_weight_decay_reaches_every_group_and_empty_groups_are_left_out(name: OptimiserName) -> None:
    plan = OptimiserPlan(name=name, weight_decay=0.07)
    optimiser = optimisers.build(plan, [*groups(), {"params": [], "lr": 1.0}])
    assert [group["weight_decay"] for group in optimiser.param_groups] == [0.07, 0.07]


@pytest.mark.parametrize(("name", "step"), [("adamw", 1e-3), ("adamw8bit", 1e-3), ("lion", 1e-3 / 3)])
def test_the_first_step_has_the_size_of_the_rate(name: OptimiserName, step: float) -> None:
    """AdamW's and Lion's first update is lr * sign(gradient) after decay by lr * weight_decay."""
    parameter = leaf()
    optimisers.build(OptimiserPlan(name=name, weight_decay=0.1), [{"params": [parameter], "lr": 1e-3}]).step()
    torch.testing.assert_close(parameter.detach(), torch.full((4,), 1 - 0.1 * step - step), rtol=0, atol=1e-6)


def test_prodigy_raises_its_own_step_size() -> None:
    parameter = torch.nn.Parameter(torch.full((4,), 5.0))
    optimiser = optimisers.build(
        OptimiserPlan(name="prodigy", weight_decay=0), [{"params": [parameter], "lr": 1e-4}]
    )
    start = optimiser.param_groups[0]["d"]
    for _ in range(100):
        optimiser.zero_grad()
        parameter.square().sum().backward()
        optimiser.step()
    assert optimiser.param_groups[0]["d"] > 10 * start


@pytest.mark.gpu
def test_adamw8bit_steps_on_cuda() -> None:
    parameter = torch.nn.Parameter(torch.ones(8192, device="cuda"))
    parameter.grad = torch.full_like(parameter, 0.5)
    optimiser = optimisers.build(OptimiserPlan(name="adamw8bit"), [{"params": [parameter], "lr": 1e-3}])
    optimiser.step()
    assert optimiser.state[parameter]["state1"].dtype == torch.uint8
    assert float(parameter.detach().mean()) == pytest.approx(1 - 1e-3, abs=2e-5)
