"""What a probe means for a study: range, words, chart."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from search.memory import Memory
from search.space import parse_parameter
from studies.errors import StudyError
from studies.spec import study_file
from studies.spec.study_file import StudySpec
from studies.study.probe import (
    REMEMBERED,
    as_remembered,
    probed_recipes,
    range_around,
    recentred,
    standing,
)
from tests.studies.spec.test_study_file import GOOD

PROBED = GOOD + "[probe]\nenabled = true\n"


def study(text: str = GOOD) -> StudySpec:
    return study_file.parse(text, Path("/data"))


def test_a_narrow_range_keeps_its_width_on_a_log_scale() -> None:
    low, high = range_around(parse_parameter({"low": 1e-4, "high": 9e-4, "log": True}), 6e-4)
    assert (low, high) == (2e-4, 1.8e-3)


def test_a_wide_range_is_narrowed_to_five_times_either_way() -> None:
    assert range_around(parse_parameter({"low": 1e-5, "high": 1e-1, "log": True}), 1e-3) == (2e-4, 5e-3)


def test_without_a_range_it_is_five_times_either_way() -> None:
    assert range_around(None, 1e-3) == (2e-4, 5e-3)
    assert range_around(parse_parameter({"low": 0.0, "high": 1e-3}), 1e-3) == (2e-4, 5e-3)
    assert range_around(None, 0.5)[1] == 1.0


def test_recipes_that_are_tried_first_stay_inside() -> None:
    assert range_around(None, 1e-3, [1e-4, 2e-3]) == (1e-4, 5e-3)


def test_only_the_range_of_the_study_moves() -> None:
    before, after = study(), recentred(study(), 1e-3)
    space = after.search.space["optimiser.unet_lr"]
    assert (space["low"], space["high"], space["log"]) == (2e-4, 5e-3, True)
    assert math.sqrt(space["low"] * space["high"]) == pytest.approx(1e-3, rel=1e-2)
    assert after.model_dump(exclude={"search"}) == before.model_dump(exclude={"search"})
    fixed = study(GOOD.replace("{ low = 1e-5, high = 1e-2, log = true }", "{ choices = [1e-4, 1e-3] }"))
    assert recentred(fixed, 1e-3) == fixed


def test_the_remembered_plateau_gives_the_same_range_whenever_the_study_is_opened(tmp_path: Path) -> None:
    def memory() -> Memory:
        return Memory.open(f"sqlite:///{tmp_path / 'study.sqlite3'}", "x", tmp_path / "artifacts")

    assert as_remembered(study(PROBED), memory()) == study(PROBED)
    memory().remember(REMEMBERED, {"rate": 1e-3, "flat": True, "courses": []})
    assert as_remembered(study(PROBED), memory()) == recentred(study(PROBED), 1e-3)
    assert as_remembered(study(), memory()) == study()
    memory().remember(REMEMBERED, {"rate": 1e-3, "flat": False, "courses": []})
    assert as_remembered(study(PROBED), memory()) == study(PROBED)


def test_the_probed_recipe_is_tried_at_the_probe_s_rate(tmp_path: Path) -> None:
    memory = Memory.open(f"sqlite:///{tmp_path / 'study.sqlite3'}", "x", tmp_path / "artifacts")
    recipe = '[[first]]\n"optimiser.unet_lr" = 1e-4\n'
    assert probed_recipes(study(PROBED), memory) == ()
    memory.remember(REMEMBERED, {"rate": 1.2345e-3, "flat": True, "courses": []})
    assert probed_recipes(study(PROBED), memory) == ({"optimiser.unet_lr": 1.23e-3},)
    ours = study(PROBED + recipe)
    assert probed_recipes(ours, memory) == ({"optimiser.unet_lr": 1.23e-3},)
    assert as_remembered(ours, memory).first == ours.first


def test_a_study_that_begins_with_a_probe_needs_a_range() -> None:
    text = PROBED.replace("{ low = 1e-5, high = 1e-2, log = true }", "{ choices = [1e-4, 1e-3] }")
    with pytest.raises(StudyError, match=r"probe\.enabled needs a range to centre"):
        study(text)


@pytest.mark.parametrize(
    ("rate", "told"),
    [
        (1e-6, "lies wholly above the probe's rate."),
        (0.5, "lies wholly below the probe's rate."),
        (1e-4, "holds the probe's rate, 33% of the way up on a log scale."),
    ],
)
def test_where_the_study_s_range_lies_is_told(rate: float, told: str) -> None:
    assert standing(study(), rate) == f"The study's range, 1e-05 to 0.01, {told}"


def test_fixed_rates_and_choices_are_told_too() -> None:
    space = '"optimiser.unet_lr" = { low = 1e-5, high = 1e-2, log = true }'
    other = '"lora.rank" = { choices = [2, 4] }'
    assert standing(study(GOOD.replace(space, other)), 1e-3).startswith("The study neither fixes")
    fixed = GOOD.replace(space, other).replace("[budget]", "[plan.optimiser]\nunet_lr = 2e-3\n[budget]")
    assert "unet_lr = 0.002, 2 times the probe's rate" in standing(study(fixed), 1e-3)
    choices = GOOD.replace("{ low = 1e-5, high = 1e-2, log = true }", "{ choices = [1e-4, 1e-3] }")
    assert standing(study(choices), 2e-3).endswith("= 0.0001, 0.001; the probe's rate is 0.002.")
