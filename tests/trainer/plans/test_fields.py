from __future__ import annotations

import json

import pytest
from pydantic import ValidationError

from trainer.plan import TrainingPlan
from trainer.plans.fields import (
    NOTHING,
    OFF,
    Frozen,
    Meaning,
    assigned,
    field,
    is_assigned,
    is_shared,
    leaves,
    meaning,
    means,
    required,
    same,
    shared,
)
from trainer.plans.noise import NoisePlan


class Inner(Frozen):
    share: float = field(0.5, means("toy_share", "toy_part", unit="share", row="part"), ge=0, le=1)
    step: int = assigned(3)


class Toy(Frozen):
    name: str = required(means(row="name"))
    inner: Inner = Inner()
    plain: bool = False
    grid: int = shared(64, same("grid", unit="pixels", place="dataset"), ge=1)


INFOS = dict(leaves(Toy))


def test_fields_of_sections_have_dotted_names_in_the_models_order() -> None:
    assert list(INFOS) == ["name", "inner.share", "inner.step", "plain", "grid"]


def test_a_field_tells_its_unit_and_its_other_names() -> None:
    assert meaning(INFOS["inner.share"]) == Meaning(("toy_share", "toy_part"), "share", "part")
    assert meaning(INFOS["grid"]) == Meaning(("grid",), "pixels", same=True, place="dataset")
    assert meaning(INFOS["grid"]).key == "grid"
    assert meaning(INFOS["plain"]) == meaning(INFOS["inner.step"]) == NOTHING


def test_shared_and_assigned_fields_are_told_apart() -> None:
    assert [name for name, info in INFOS.items() if is_shared(info)] == ["grid"]
    assert [name for name, info in INFOS.items() if is_assigned(info)] == ["inner.step"]


@pytest.mark.parametrize(
    "table", [{}, {"name": "a", "inner": {"share": 1.5}}, {"name": "a", "grid": 0}, {"name": "a", "new": 1}]
)
def test_bounds_and_required_fields_are_checked(table: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Toy.model_validate(table)


def test_defaults_are_taken() -> None:
    assert Toy(name="a") == Toy(name="a", inner=Inner(share=0.5, step=3), grid=64)


def test_the_plans_json_schema_says_unit_and_key() -> None:
    schema = json.loads(json.dumps(TrainingPlan.model_json_schema()))
    resolution = schema["$defs"]["DataPlan"]["properties"]["resolution"]
    assert resolution["meaning"]["unit"] == "pixels" and resolution["meaning"]["keys"] == ["resolution"]


def test_no_key_of_sd_scripts_is_written_for_two_fields() -> None:
    written = [meaning(info).key for _, info in leaves(TrainingPlan) if meaning(info).same]
    assert len(written) == len(set(written))


@pytest.mark.parametrize(
    "name", ["noise.min_snr_gamma", "lora.conv_rank", "optimiser.max_weight_norm", "ema.decay"]
)
def test_off_is_what_none_says(name: str) -> None:
    section, _, leaf = name.partition(".")
    table = {"base": {"path": "x"}, "data": {"folder": "x"}, section: {leaf: OFF}}
    assert getattr(getattr(TrainingPlan.model_validate(table), section), leaf) is None


@pytest.mark.parametrize("name", ["of", "none", "OFF", False])
def test_no_other_word_switches_off(name: object) -> None:
    with pytest.raises(ValidationError):
        NoisePlan.model_validate({"min_snr_gamma": name})
