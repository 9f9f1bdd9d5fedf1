from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from studies.dialects.account import Unmet
from studies.sd_scripts.datasets import Images
from studies.sd_scripts.importing import Recipe
from studies.sd_scripts.settings import FIELDS
from studies.sd_scripts.study_file import space, text
from studies.spec import study_file
from studies.spec.plan_fields import build


def around(values: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The space around a recipe with these fields."""
    return space(build({"base": {"path": "x"}, "data": {"folder": "x"}}, values))


def recipe(values: dict[str, Any] | None = None, **more: Any) -> Recipe:
    given = {"base.path": "/base", "data.folder": "/images", "data.epochs": 4, **(values or {})}
    told = {"judge": {}, "save": {}, "unmet": (), "seed": 3, "images": Images(100, False), **more}
    return Recipe("my study", given, **told)


RECIPES: list[dict[str, Any]] = [
    {},
    {"lora.text_encoder": True, "optimiser.text_lr_over_unet_lr": 0.02},
    {"lora.unet": False, "lora.text_encoder": True},
    {"lora.rank": 1, "lora.alpha_over_rank": 1.0},
    {"lora.rank": 1024, "lora.alpha_over_rank": 1 / 1024},
    {"optimiser.unet_lr": 1.0, "optimiser.name": "sgd_nesterov"},
    {"optimiser.unet_lr": 1.2345e-7},
    {"optimiser.name": "prodigy", "lora.text_encoder": True, "optimiser.text_lr_over_unet_lr": 1.0},
    {"optimiser.name": "dadapt_adam", "lora.text_encoder": True, "optimiser.text_lr_over_unet_lr": 1.0},
    {"noise.offset": 0.3, "noise.loss": "huber"},
    {"data.folders": ["/a", "/b"], "optimiser.args": {"betas": [0.9, 0.99]}},
]


@pytest.mark.parametrize("values", RECIPES, ids=lambda v: ", ".join(v) or "plain")
def test_the_study_loads_and_its_first_trial_is_the_recipe(values: dict[str, Any]) -> None:
    made = recipe(values)
    study = study_file.parse(text(made, "config.toml"), Path("/"))
    (first,) = study.first
    assert build(study.plan, first) == made.plan.model_copy(update={"seed": 0})
    assert study.study.seed == 3
    assert study.space.problems(first) == []


def test_ranges_lie_around_the_recipe() -> None:
    values = {
        "optimiser.unet_lr": 1e-4,
        "lora.rank": 32,
        "lora.alpha_over_rank": 0.25,
        "lora.text_encoder": True,
        "optimiser.text_lr_over_unet_lr": 0.8,
        "noise.offset": 0.2,
    }
    assert around(values) == {
        "optimiser.unet_lr": {"low": 2e-5, "high": 5e-4, "log": True},
        "optimiser.text_lr_over_unet_lr": {"low": 0.1, "high": 0.8},
        "lora.rank": {"choices": [16, 32, 64]},
        "lora.alpha_over_rank": {"choices": [0.25, 0.5, 1.0]},
        "noise.offset": {"low": 0.0, "high": 0.2},
    }


def test_rates_that_do_not_act_are_not_searched() -> None:
    assert "optimiser.unet_lr" not in around({"optimiser.name": "prodigy"})
    assert "optimiser.text_lr_over_unet_lr" not in around({"lora.text_encoder": False})
    assert set(around({})) <= FIELDS.keys()


def test_the_horizon_is_images_times_epochs() -> None:
    assert study_file.parse(text(recipe(), "x"), Path("/")).budget.images_per_trial == 400


def test_what_was_not_honoured_stands_at_the_top() -> None:
    made = text(recipe(unmet=(Unmet("output_dir", "no effect here"),)), "lora.toml")
    assert made.startswith("# Imported from lora.toml.\n# Not honoured:\n#   output_dir: no effect here\n")


def test_judge_and_save_sections_are_written() -> None:
    made = text(recipe(judge={"prompts": ['a "dog"', "b\\c"], "steps": 20}, save={"precision": "no"}), "x")
    study = study_file.parse(made, Path("/"))
    assert study.judge.prompts == ('a "dog"', "b\\c")
    assert study.save.precision == "no"


def test_the_rank_is_not_searched_where_it_means_nothing_or_goes_by_blocks() -> None:
    assert "lora.rank" in around({})
    for name in ("full", "ia3", "dylora"):
        assert "lora.rank" not in around({"lora.algorithm": name})
    assert "lora.rank" not in around({"lora.start": "x.safetensors"})
