"""What a plan needs in all, held to a real pack's peak."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from trainer.bases.base_model import BaseModel
from trainer.data.dataset import Dataset
from trainer.data.encoded import Encoded
from trainer.footprint.fitting import Setting
from trainer.footprint.forecast import Eyes, Use, stages
from trainer.footprint.needs import Forecaster
from trainer.footprint.tracker import Tracker
from trainer.plan import TrainingPlan
from trainer.plans.optimiser import OptimiserPlan
from trainer.training.pack import Pack

Plans = Callable[..., TrainingPlan]


@pytest.mark.parametrize(
    "values",
    [{"rank": 4}, {"rank": 64, "decay": 0.9}, {"rank": 8, "optimiser": "lion"}, {"text_encoder": True}],
    ids=str,
)
def test_a_pack_needs_what_was_forecast(
    fresh_base: Callable[..., BaseModel],
    few_dataset: Dataset,
    encode: Callable[[Dataset, BaseModel], Encoded],
    make_plan: Plans,
    values: dict[str, Any],
) -> None:
    plan, trials = make_plan(**values), 4
    base = fresh_base()
    with Tracker() as tracker:
        for network in (base.unet, base.vae, base.text_encoder):
            tracker.adopt_network(network)
        pack = Pack(base, encode(few_dataset, base), trials, plan.compute)
        for trial in range(trials):
            pack.admit(trial, plan)
        pack.step()
        tracker.rewind()
        pack.step()
    found = stages(Forecaster(plan).needs(), Use(trials, batch=1, offload=False))
    assert max(found["training"], found["update"]) == pytest.approx(tracker.peak, rel=0.1)


def test_text_encoders_stay_where_they_are_needed_in_every_step(make_plan: Plans) -> None:
    stay = [
        Forecaster(make_plan(**values)).needs().text_stays
        for values in ({}, {"text_encoder": True}, {"shuffle_caption": True}, {"tag_dropout": 0.1})
    ]
    assert stay == [False, True, True, True]


def test_resolution_and_checkpointing_can_be_tried_in_place_of_the_plans(make_plan: Plans) -> None:
    plan = make_plan(rank=4)
    own, smaller, thrifty = (
        Forecaster(plan).needs(Setting(*setting))
        for setting in ((64, "auto", False), (32, "auto", False), (64, "auto", True))
    )
    assert own == Forecaster(plan).needs()
    assert smaller.row < own.row
    assert thrifty.row < own.row
    assert (smaller.unet, smaller.trial) == (own.unet, own.trial)
    assert Forecaster(make_plan(rank=4, gradient_checkpointing=True)).needs() == thrifty


def test_the_judges_eyes_and_the_hungriest_optimiser_count(make_plan: Plans) -> None:
    found = Forecaster(make_plan(optimiser="lion"), [OptimiserPlan(name="adamw")], Eyes(1000, 10)).needs()
    assert (found.eyes, found.looked) == (1000, 10)
    assert found.trial > Forecaster(make_plan(optimiser="lion")).needs().trial
