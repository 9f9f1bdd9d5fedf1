"""Every schedule at points computed by hand."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from trainer.plans.schedule import SchedulePlan
from trainer.training import schedules

STEPS, WARMUP = 100, 20


def factors(epochs: int = 1, **fields: Any) -> list[float]:
    """The learning rate at each step, as a share of the plan's."""
    plan = SchedulePlan(**fields)
    optimiser = torch.optim.AdamW([{"params": [torch.nn.Parameter(torch.zeros(1))], "lr": 0.5}])
    schedule = schedules.build(plan, optimiser, STEPS, epochs)
    found = []
    for _ in range(STEPS + 1):
        found.append(optimiser.param_groups[0]["lr"] / 0.5)
        optimiser.step()
        schedule.step()
    return found


def test_constant_stays() -> None:
    assert factors(name="constant") == [1.0] * (STEPS + 1)


@pytest.mark.parametrize(
    "name", ["linear", "cosine", "cosine_with_restarts", "polynomial", "constant_with_warmup"]
)
def test_warm_up_rises_linearly_from_zero(name: str) -> None:
    found = factors(name=name, warmup_share=0.2)
    assert found[: WARMUP + 1] == pytest.approx([step / WARMUP for step in range(WARMUP + 1)])


def test_constant_with_warmup_stays_afterwards() -> None:
    assert factors(name="constant_with_warmup", warmup_share=0.2)[WARMUP:] == [1.0] * (STEPS - WARMUP + 1)


def test_linear_falls_to_zero() -> None:
    found = factors(name="linear", warmup_share=0.2)
    assert [found[step] for step in (40, 60, 80, 100)] == pytest.approx([0.75, 0.5, 0.25, 0.0])


def test_cosine_falls_along_half_a_wave() -> None:
    found = factors(name="cosine", warmup_share=0.2)
    wanted = [(1 + math.sqrt(0.5)) / 2, 0.5, (1 - math.sqrt(0.5)) / 2, 0.0]
    assert [found[step] for step in (40, 60, 80, 100)] == pytest.approx(wanted)


def test_cosine_with_two_cycles_restarts_in_the_middle() -> None:
    found = factors(name="cosine_with_restarts", cycles=2)
    assert [found[step] for step in (0, 25, 50, 75, 100)] == pytest.approx([1.0, 0.5, 1.0, 0.5, 0.0])
    assert found[49] < 0.01


def test_polynomial_follows_its_power() -> None:
    found = factors(name="polynomial", power=2.0)
    assert [found[step] for step in (0, 50, 75)] == pytest.approx([1.0, 0.25, 0.0625], abs=1e-3)
    assert found[100] < 1e-3


def test_warm_up_steps_say_the_same_as_their_share() -> None:
    assert factors(name="cosine", warmup_steps=20) == factors(name="cosine", warmup_share=0.2)


def test_staged_keeps_each_stage_for_its_epochs_and_the_last_to_the_end() -> None:
    """100 steps in 10 epochs: 2 at full rate, 3 at a half, the rest at a tenth."""
    stages = [{"epochs": 2}, {"epochs": 3, "factor": 0.5}, {"epochs": 1, "factor": 0.1}]
    found = factors(epochs=10, name="staged", stages=stages)
    assert found == [1.0] * 20 + [0.5] * 30 + [0.1] * 51


def test_staged_warms_up_too() -> None:
    stages = [{"epochs": 1}, {"epochs": 1, "factor": 0.5}]
    found = factors(epochs=10, name="staged", stages=stages, warmup_steps=20)
    assert [found[step] for step in (0, 5, 9, 10, 16, 20, 99)] == pytest.approx(
        [0, 0.25, 0.45, 0.25, 0.4, 0.5, 0.5]
    )


@pytest.mark.parametrize(("share", "steps"), [(0.0, 0), (0.05, 5), (0.999, 100)])
def test_warm_up_is_a_share_of_all_steps(share: float, steps: int) -> None:
    assert schedules.warmup_steps(SchedulePlan(warmup_share=share), STEPS) == steps
