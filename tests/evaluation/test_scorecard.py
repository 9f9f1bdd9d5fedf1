"""What a card says of a checkpoint that nobody wants."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from evaluation.intervals import Estimate
from evaluation.scorecard import Measured, ScoreCard


def card(**fields: Any) -> ScoreCard:
    facts: dict[str, Any] = {
        "validation": Estimate(mean=-0.1, standard_error=0.01),
        "validation_by_timestep": (-0.1,),
        "validation_by_image": (-0.1,),
        "training": None,
        "clip_image": None,
        "clip_text": Estimate(mean=1.0, standard_error=0.5),
        "clip_image_value": None,
        "clip_text_value": 20.0,
        "broken": 0,
        "renders": 4,
    }
    return ScoreCard(**{**facts, **fields})


@pytest.mark.parametrize("mean", [math.nan, math.inf])
def test_a_validation_loss_that_is_no_number_makes_it_unusable(mean: float) -> None:
    assert card(validation=Estimate(mean=mean, standard_error=0)).unusable is not None


@pytest.mark.parametrize(
    ("broken", "renders", "unusable"), [(0, 4, False), (2, 4, False), (3, 4, True), (0, 0, False)]
)
def test_a_majority_of_broken_renders_makes_it_unusable(broken: int, renders: int, unusable: bool) -> None:
    assert (card(broken=broken, renders=renders).unusable is not None) == unusable


def test_only_measured_metrics_are_compared() -> None:
    assert card().differences().keys() == {"validation", "clip_text"}


def test_a_card_survives_json() -> None:
    assert ScoreCard.model_validate(json.loads(json.dumps(card().to_json()))) == card()


def test_an_unknown_error_and_the_new_figures_survive_json() -> None:
    full = card(
        diversity=Estimate(mean=1.0, standard_error=math.inf),
        diversity_by_prompt=(1.0,),
        memorisation=Estimate(mean=-1.0, standard_error=0.1),
        base_values={"diversity": 20.0},
    )
    stored = json.dumps(full.to_json(), allow_nan=False)
    assert ScoreCard.model_validate_json(stored) == full
    assert full.differences().keys() == {"validation", "clip_text", "diversity", "memorisation"}


def test_a_card_from_before_the_new_figures_can_be_read() -> None:
    old = {
        "validation": {"mean": -0.1, "standard_error": 0.01},
        "validation_by_timestep": [-0.1],
        "validation_by_image": [-0.1],
        "training": None,
        "clip_image": None,
        "clip_text": {"mean": 1.0, "standard_error": 0.5},
        "clip_image_value": None,
        "clip_text_value": 20.0,
        "broken": 0,
        "renders": 4,
    }
    assert ScoreCard.model_validate(json.loads(json.dumps(old))) == card()


def test_a_card_with_a_field_for_each_part_of_each_metric_can_be_read() -> None:
    rise = Estimate(mean=2.0, standard_error=0.5)
    level = Estimate(mean=-1.0, standard_error=0.2)
    old = card(
        memorisation=rise,
        memorisation_by_prompt=(1.0, 3.0),
        memorisation_value=-1.0,
        memorisation_level=level,
        base_values={"memorisation": -3.0},
    )
    assert old.metrics["memorisation"] == Measured(
        difference=rise, cells=(1.0, 3.0), value=-1.0, base=-3.0, level=level
    )


def test_renders_of_one_prompt_are_one_cell() -> None:
    found = card(
        clip_text_by_prompt=(1.0, 5.0, 3.0, 9.0),
        prompt_of_render=(0, 1, 0, 1),
        flexibility=Estimate(mean=7.0, standard_error=1.0),
        flexibility_by_prompt=(7.0,),
    ).cells()
    assert found == {"validation": (-0.1,), "clip_text": (2.0, 7.0), "flexibility": (7.0,)}
    old = card(clip_text_by_prompt=(1.0, 5.0, 3.0, 9.0)).cells()
    assert old["clip_text"] == (1.0, 5.0, 3.0, 9.0)
