"""Drives packs in tests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from trainer.data.encoded import Encoded
from trainer.outcome import Event
from trainer.plan import TrainingPlan
from trainer.plans.compute import ComputePlan
from trainer.training.pack import Pack

State = Mapping[str, Tensor]


def pack(data: Encoded, capacity: int = 4, **compute: Any) -> Pack:
    return Pack(data.base, data, capacity, ComputePlan(**compute))


def steps(training: Pack, count: int) -> list[Event]:
    return [event for _ in range(count) for event in training.step()]


def train(data: Encoded, plan: TrainingPlan, count: int) -> dict[str, Tensor]:
    """The LoRA after ``count`` steps alone on a base of its own."""
    training = Pack(data.base, data, 1, plan.compute)
    training.admit(0, plan)
    steps(training, count)
    return state(training, 0)


def state(training: Pack, trial: int) -> dict[str, Tensor]:
    return training.bank.state(training.runs[trial].slot)


def relative_difference(found: State, expected: State) -> float:
    """Largest |difference| of any layer over the largest |value| of that layer."""
    assert found.keys() == expected.keys()
    return max(
        float((found[name] - value).abs().max() / value.abs().max().clamp(min=1e-30))
        for name, value in expected.items()
    )


def equal(found: State, expected: State) -> bool:
    return found.keys() == expected.keys() and all(torch.equal(found[name], expected[name]) for name in found)
