"""An optimiser with its schedule and loss scale."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from trainer.plan import TrainingPlan
from trainer.training.stepper import Stepper

Plans = Callable[..., TrainingPlan]


def leaf(apart: bool) -> list[nn.Parameter]:
    row, gradients = torch.ones(12), torch.zeros(12)
    places = [slice(0, 4), slice(5 if apart else 4, 9 if apart else 8)]
    found = [nn.Parameter(row[place]) for place in places]
    for parameter, place in zip(found, places, strict=True):
        parameter.data, parameter.grad = row[place], gradients[place]
    return found


@pytest.mark.parametrize("apart", [False, True])
def test_in_fp16_gradients_are_unscaled_before_they_are_clipped_and_stepped_by(
    make_plan: Plans, apart: bool
) -> None:
    leaves = leaf(apart)
    plan = make_plan(
        mixed_precision="fp16", optimiser="sgd_nesterov", args={"momentum": 0.0, "nesterov": False}
    )
    stepper = Stepper(plan, [{"params": leaves, "lr": 0.5}], 10, "cpu")
    scale = stepper.scaler.get_scale()
    assert scale > 1
    for parameter in leaves:
        assert parameter.grad is not None
        parameter.grad.fill_(2 * scale)
    stepper.unscale()
    for parameter in leaves:
        assert parameter.grad is not None
        assert parameter.grad.tolist() == [2.0] * 4
    stepper.step()
    assert [float(value) for parameter in leaves for value in parameter] == pytest.approx([0.0] * 8, abs=0.02)


def test_a_step_whose_gradient_overflowed_is_left_out_and_the_scale_falls(make_plan: Plans) -> None:
    leaves = leaf(False)
    stepper = Stepper(make_plan(mixed_precision="fp16"), [{"params": leaves, "lr": 0.5}], 10, "cpu")
    scale = stepper.scaler.get_scale()
    for parameter in leaves:
        assert parameter.grad is not None
        parameter.grad.fill_(torch.inf)
    stepper.unscale()
    stepper.step()
    assert all(float(value) == 1 for parameter in leaves for value in parameter)
    assert stepper.scaler.get_scale() < scale
