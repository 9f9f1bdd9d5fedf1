"""Each optimiser's own scale of learning rates, and its first step by hand."""

from __future__ import annotations

from typing import Any, get_args

import pytest
import torch

from trainer.plans.optimiser import OptimiserName, OptimiserPlan
from trainer.plans.optimiser_kinds import OPTIMISERS
from trainer.training import optimisers


def leaf(size: int = 4) -> torch.nn.Parameter:
    parameter = torch.nn.Parameter(torch.ones(size))
    parameter.grad = torch.full((size,), 0.5)
    return parameter


def groups() -> optimisers.Groups:
    return [{"params": [leaf()], "lr": 3e-4}, {"params": [leaf()], "lr": 1.5e-4}]


def test_nesterov_has_momentum_and_adafactor_keeps_to_the_plan_s_rate() -> None:
    sgd = optimisers.build(OptimiserPlan(name="sgd_nesterov"), groups()).param_groups[0]
    assert (sgd["momentum"], sgd["nesterov"]) == (0.9, True)
    assert (
        optimisers.build(OptimiserPlan(name="sgd_nesterov8bit"), groups()).param_groups[0]["betas"][0] == 0.9
    )
    adafactor = optimisers.build(OptimiserPlan(name="adafactor"), groups()).param_groups[0]
    assert (adafactor["relative_step"], adafactor["scale_parameter"]) == (False, False)


ADAPTIVE = {name for name, kind in OPTIMISERS.items() if kind.adaptive}
LIONS = {"lion", "lion8bit", "paged_lion8bit"}


@pytest.mark.parametrize(
    ("name", "rates"),
    [
        (name, [1.0, 1.0] if name in ADAPTIVE else [1e-4, 0.5e-4] if name in LIONS else [3e-4, 1.5e-4])
        for name in get_args(OptimiserName)
    ],
)
def test_rates_are_converted_from_the_scale_of_adamw(name: OptimiserName, rates: list[float]) -> None:
    optimiser = optimisers.build(OptimiserPlan(name=name), groups())
    assert [group["lr"] for group in optimiser.param_groups] == pytest.approx(rates)


@pytest.mark.parametrize("name", sorted(OPTIMISERS))
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


QUICK: dict[str, dict[str, Any]] = {
    name: {"unet_lr": 0.05, **({"args": {"d0": 0.01}} if name in ADAPTIVE else {})} for name in OPTIMISERS
} | {
    "lion": {"unet_lr": 0.15},
    "lion8bit": {"unet_lr": 0.15},
    "paged_lion8bit": {"unet_lr": 0.15},
    "sgd_nesterov": {"unet_lr": 0.02},
    "sgd_nesterov8bit": {"unet_lr": 0.02},
}


@pytest.mark.parametrize("name", get_args(OptimiserName))
def test_each_lowers_a_loss_in_place_in_a_bank_of_views(name: OptimiserName) -> None:
    """Parameters and gradients are views of larger tensors, as a slot's are; neither may be replaced."""
    target = torch.randn(64, 70, generator=torch.Generator().manual_seed(0)).clamp(-2, 2)
    bank, gradients = torch.zeros(2, 64, 70), torch.zeros(2, 64, 70)
    leaf = torch.nn.Parameter(bank[1])
    leaf.grad = gradients[1]
    plan = OptimiserPlan(name=name, weight_decay=0, **QUICK[name])
    optimiser = optimisers.build(plan, [{"params": [leaf], "lr": plan.unet_lr}])
    start = float((bank[1] - target).square().mean())
    for _ in range(80):
        gradients[1] = bank[1] - target
        optimiser.step()
    assert float((bank[1] - target).square().mean()) < 0.5 * start
    assert leaf.data_ptr() == bank[1].data_ptr()
    assert leaf.grad is not None
    assert leaf.grad.data_ptr() == gradients[1].data_ptr()
    assert not bank[0].any()


def test_dadapt_sgd_waits_out_the_first_step_of_a_warm_up() -> None:
    parameter = leaf()
    optimiser = optimisers.build(
        OptimiserPlan(name="dadapt_sgd", weight_decay=0), [{"params": [parameter], "lr": 1e-4}]
    )
    optimiser.param_groups[0]["lr"] = 0.0
    optimiser.step()
    assert parameter.tolist() == [1.0] * 4
    optimiser.param_groups[0]["lr"] = 1.0
    optimiser.step()
    assert parameter.tolist() == pytest.approx([1 - 1e-6 / 2] * 4, abs=1e-7)


@pytest.mark.parametrize(
    ("fields", "group"),
    [
        ({"name": "adamw", "args": {"betas": [0.8, 0.95], "eps": 1e-6}}, {"betas": (0.8, 0.95), "eps": 1e-6}),
        ({"name": "prodigy", "args": {"d_coef": 2.0, "decouple": False}}, {"d_coef": 2.0, "decouple": False}),
        ({"name": "sgd_nesterov", "args": {"momentum": 0.5}}, {"momentum": 0.5, "nesterov": True}),
        ({"name": "lion8bit", "args": {"betas": [0.95, 0.98]}}, {"betas": (0.95, 0.98)}),
    ],
)
def test_arguments_reach_the_optimiser(fields: dict[str, Any], group: dict[str, Any]) -> None:
    found = optimisers.build(OptimiserPlan(**fields), groups()).param_groups[0]
    assert {key: found[key] for key in group} == group


def test_the_description_is_that_of_sd_scripts() -> None:
    plan = OptimiserPlan(name="lion8bit", weight_decay=0.1, args={"betas": [0.9, 0.95]})
    assert (
        optimisers.description(plan) == "bitsandbytes.optim.lion.Lion8bit(betas=(0.9, 0.95),weight_decay=0.1)"
    )
    assert optimisers.description(OptimiserPlan(name="lion")).startswith("lion_pytorch.lion_pytorch.Lion(")


EIGHT_BIT = sorted(name for name, kind in OPTIMISERS.items() if kind.eight_bit)


@pytest.mark.gpu
@pytest.mark.parametrize("name", EIGHT_BIT)
def test_eight_bit_optimisers_step_on_cuda(name: OptimiserName) -> None:
    parameter = torch.nn.Parameter(torch.ones(8192, device="cuda"))
    parameter.grad = torch.full_like(parameter, 0.5)
    optimiser = optimisers.build(OptimiserPlan(name=name), [{"params": [parameter], "lr": 1e-3}])
    optimiser.step()
    assert optimiser.state[parameter]["state1"].dtype == torch.uint8
    step = {"adamw8bit": 1e-3, "paged_adamw8bit": 1e-3, "sgd_nesterov8bit": 5e-4}.get(name, 1e-3 / 3)
    assert float(parameter.detach().mean()) == pytest.approx(1 - step, abs=2e-5)
