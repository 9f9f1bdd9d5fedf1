"""The prior loss weight by hand."""

from __future__ import annotations

from typing import Any

import pytest

from trainer.data.prior import prior_weight
from trainer.plans.data import DataPlan


def weights(**fields: Any) -> list[float]:
    plan = DataPlan(reg_folder=".", folder=".", **fields)  # type: ignore[arg-type]
    return [prior_weight(plan, epoch) for epoch in range(7)]


def test_without_a_target_the_weight_stays() -> None:
    assert weights(prior_loss_weight=0.7) == [0.7] * 7


def test_the_weight_falls_linearly_to_its_minimum_and_stays_there() -> None:
    found = weights(prior_loss_weight=1.0, prior_loss_epochs=4, prior_loss_min_weight=0.2)
    assert found == pytest.approx([1.0, 0.8, 0.6, 0.4, 0.2, 0.2, 0.2])


def test_the_minimum_is_nothing_by_default() -> None:
    assert weights(prior_loss_epochs=2) == pytest.approx([1.0, 0.5, 0, 0, 0, 0, 0])
