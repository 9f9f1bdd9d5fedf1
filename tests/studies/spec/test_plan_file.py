"""What is read for a single training."""

from __future__ import annotations

from pathlib import Path

import pytest

from studies.errors import StudyError
from studies.spec.plan_file import PlanFile, parse

PLAIN = """\
[plan.base]
path = "base"
[plan.data]
folder = "images"
epochs = 3
[plan.optimiser]
unet_lr = 2e-4
"""
STUDY = """\
[study]
name = "small"
seed = 5
[plan.base]
path = "base"
[plan.data]
folder = "images"
[budget]
trials = 4
images_per_trial = 48
[search.space]
"optimiser.unet_lr" = { low = 1e-4, high = 1e-2, log = true }
"lora.rank" = { choices = [2, 4] }
[judge]
timesteps = 3
"""


def read(text: str, *settings: str) -> PlanFile:
    return parse(text, Path("/data/hero.toml"), settings)


def problems(text: str, *settings: str) -> list[str]:
    with pytest.raises(StudyError) as caught:
        read(text, *settings)
    return caught.value.problems


def test_plan_sections_are_enough_and_the_file_names_the_lora() -> None:
    found = read(PLAIN)
    plan = found.plan(0)
    assert (found.name, found.seed, found.images, found.unset) == ("hero", 0, None, ())
    assert (plan.base.path, plan.data.folder) == (Path("/data/base"), Path("/data/images"))
    assert (plan.data.epochs, plan.optimiser.unet_lr) == (3, 2e-4)


def test_what_a_study_searches_takes_its_default_unless_it_is_set() -> None:
    found = read(STUDY, "lora.rank=4", "seed=9", "lora.text_encoder = true", "schedule.name=cosine")
    plan = found.plan(found.seed)
    assert (found.name, found.images, found.unset) == ("small", 48, ("optimiser.unet_lr",))
    assert (plan.lora.rank, plan.lora.text_encoder, plan.schedule.name, plan.seed) == (4, True, "cosine", 9)
    assert read(STUDY).seed == 5
    assert read(STUDY, "data.epochs=2").images is None


def test_a_study_with_recipes_lends_its_first_one() -> None:
    recipes = '[[first]]\n"optimiser.unet_lr" = 3e-3\n"lora.rank" = 2\n[[first]]\n"lora.rank" = 4\n'
    found = read(STUDY + recipes, "lora.rank=4")
    assert found.unset == ()
    assert (found.plan(0).optimiser.unet_lr, found.plan(0).lora.rank) == (3e-3, 4)


def test_paths_in_settings_are_relative_to_where_the_command_is_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    plan = read(PLAIN, "data.folder=mine", "base.path=org/model").plan(0)
    assert (plan.data.folder, plan.base.path) == (tmp_path / "mine", Path("org/model"))


def test_settings_replace_what_the_file_says() -> None:
    assert read(PLAIN, "optimiser.unet_lr=1e-3").plan(0).optimiser.unet_lr == 1e-3
    stages = read(
        PLAIN, "schedule.name=staged", "schedule.stages=[{ epochs = 2 }, { epochs = 1, factor = 0.1 }]"
    )
    assert stages.plan(0).schedule.stages[1].factor == 0.1


def test_all_problems_are_told_at_once() -> None:
    bad = (
        PLAIN.replace("epochs = 3", "epochs = 0\nkeep_tokens = 2")
        + "[sampels]\n[samples]\nsampler = 'eulr'\n"
    )
    told = "\n".join(problems(bad, "lora.rnk=4", "nonsense"))
    for words in (
        "hero.toml:9: sampels: is not a known key.",
        "hero.toml:11: samples.sampler: unknown sampler 'eulr'; choose one of: ",
        "--set lora.rnk=4: the training plan has no field 'lora.rnk'; did you mean lora.rank",
        "--set nonsense: give a field and its value",
    ):
        assert words in told
    (one,) = problems(PLAIN.replace("epochs = 3", "epochs = 0"))
    assert one.startswith("/data/hero.toml:5: plan.data.epochs: ")
    (one,) = problems(PLAIN, "lora.rank=0")
    assert one.startswith("--set lora.rank=0: input should be greater than or equal to 1")
    (one,) = problems(PLAIN, "seed=high")
    assert one == "seed must be a whole number from -1 (which draws one), but got 'high'."


@pytest.mark.parametrize("text", ["[plan", "\x00"])
def test_text_that_is_no_toml_is_one_sentence(text: str) -> None:
    (problem,) = problems(text)
    assert "not valid TOML" in problem


def test_a_file_without_a_plan_says_so() -> None:
    assert problems("[study]\nname = 'x'\n") == ["/data/hero.toml: plan: is missing."]
    assert any("base: is missing" in told for told in problems("[plan.lora]\nrank = 4\n"))


def test_a_recipe_over_a_section_that_is_no_table_names_the_section() -> None:
    text = '[plan]\nlora = 3\n[plan.base]\npath = "x"\n[[first]]\n"lora.rank" = 4\n'
    (told,) = [line for line in problems(text) if "lora" in line]
    assert "plan.lora: input should be a valid dictionary" in told
    assert "but got 3" in told


def test_paths_in_settings_are_relative_to_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "other").mkdir()
    plan = read(PLAIN, "base.path=other", "data.folders=['more']", "lora.rank=4").plan(0)
    assert plan.base.path == tmp_path / "other"
    assert plan.data.folders == (tmp_path / "more",)
    assert plan.lora.rank == 4
