"""Every field that a family has no use for is refused once, by name; every other plan is taken."""

from __future__ import annotations

from typing import Any

import pytest

from trainer.bases import misfits
from trainer.bases.families import FAMILIES
from trainer.plan import TrainingPlan

OTHER: dict[str, Any] = {
    "noise.min_snr_gamma": 5.0,
    "noise.debiased": True,
    "noise.offset": 0.1,
    "noise.adaptive_scale": 0.1,
    "noise.multires_iterations": 6,
    "noise.timestep_density": "mode",
    "noise.timestep_shift": "resolution",
    "noise.logit_mean": 0.5,
    "noise.logit_std": 0.5,
    "noise.mode_scale": 0.5,
    "noise.loss_weighting": "cosmap",
    "data.weighted_captions": True,
    "data.max_token_length": 225,
    "lora.conv_rank": 4,
    "lora.layers": "all",
}


def plan(name: str = "", value: Any = None) -> TrainingPlan:
    table: dict[str, Any] = {"base": {"path": "base"}, "data": {"folder": "images"}}
    section, _, field = name.partition(".")
    if name:
        table.setdefault(section, {})[field] = value
    return TrainingPlan.model_validate(table)


@pytest.mark.parametrize("name", OTHER)
@pytest.mark.parametrize("family", FAMILIES)
def test_a_field_acts_on_the_family_or_is_refused_with_a_reason(family: str, name: str) -> None:
    chosen = FAMILIES[family]
    table = misfits.ON_FLOWS if chosen.flows else misfits.ON_DIFFUSIONS
    found = misfits.misfits(chosen, plan(name, OTHER[name]))
    assert len(found) == (name in table)
    assert all(sentence.startswith(f"{name} = ") and chosen.title in sentence for sentence in found)


def test_all_fields_of_the_tables_are_tried_here() -> None:
    assert {*misfits.ON_FLOWS, *misfits.ON_DIFFUSIONS} == set(OTHER)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_plan_of_defaults_fits_every_family(family: str) -> None:
    assert misfits.misfits(FAMILIES[family], plan()) == []


@pytest.mark.parametrize("family", FAMILIES)
def test_guidance_and_text_encoders_are_for_families_that_have_them(family: str) -> None:
    chosen = FAMILIES[family]
    assert bool(misfits.misfits(chosen, plan("noise.guidance", 3.5))) != chosen.rendering.embedded
    assert bool(misfits.misfits(chosen, plan("lora.text_encoder", True))) != bool(chosen.trained_encoders)
