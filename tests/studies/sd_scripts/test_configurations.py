"""Configurations made after real ones, each with the plan that its trainer's own parser makes of it.

The tables lie in ``configurations``, a file a trainer with the version whose source they were read from; the values are
our own. ``plan`` holds plan field -> value ("none" for None), ``told`` the keys that are not honoured or idle.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from studies.errors import StudyError
from studies.sd_scripts import study_file
from studies.sd_scripts.importing import Recipe, read
from studies.sd_scripts.settings import FIELDS
from studies.spec.study_file import parse
from tests.studies.conftest import ASSETS
from tests.studies.sd_scripts.test_round_trip import flat, same, there_and_back
from trainer.plans.optimiser_kinds import OPTIMISERS

FOLDER = Path(__file__).parent / "configurations"
MUTE = {"output_dir", "logging_dir", "xformers"}
"""Keys that are idle in every file and told."""


def cases() -> list[Any]:
    found = []
    for path in sorted(FOLDER.glob("*.toml")):
        table = tomllib.loads(path.read_text())
        found += [
            pytest.param({"suffix": table["suffix"], **case}, id=f"{path.stem}: {case['name']}")
            for case in table["case"]
        ]
    return found


def imported(case: dict[str, Any], folder: Path) -> Recipe:
    path = folder / f"config{case['suffix']}"
    replaced = {
        "@BASE@": str(ASSETS / "micro-sd"),
        "@TRAIN@": str(folder / "train"),
        "@CAT@": str(folder / "train" / "2_cat"),
        "@HERE@": str(folder),
    }
    text, data = case["text"], case.get("dataset")
    for mark, value in replaced.items():
        text = text.replace(mark, value)
        data = data.replace(mark, value) if data else None
    path.write_text(text)
    for name, content in case.get("beside", {}).items():
        (folder / name).write_text(content)
    dataset = folder / f"dataset{case.get('dataset_suffix', '.toml')}"
    if data:
        dataset.write_text(data)
    base = ASSETS / "micro-sd" if case.get("base") else None
    images = folder / "train" if case.get("images") else None
    return read(path, dataset if data else None, base, images)


@pytest.mark.parametrize("case", cases())
def test_a_configuration_means_here_what_its_trainer_makes_of_it(
    case: dict[str, Any], pictures: Callable[..., Path], tmp_path: Path
) -> None:
    pictures("train/2_cat", count=8)
    if "fails" in case:
        with pytest.raises(StudyError) as caught:
            imported(case, tmp_path)
        assert case["fails"] in str(caught.value)
        return
    recipe = imported(case, tmp_path)
    table = recipe.plan.model_dump(mode="json")
    found = {name: value_of(table, name) for name in case["plan"]}
    assert found == {name: None if value == "none" else value for name, value in case["plan"].items()}
    assert {unmet.key.removeprefix("network_args: ") for unmet in recipe.unmet} - MUTE == set(case["told"])
    assert recipe.seed == case.get("seed", 0)
    if "shown" in case:
        assert recipe.images.shown == case["shown"]
    wanted = case.get("converted", [])
    assert len(recipe.converted) == len(wanted), recipe.converted
    for line, start in zip(recipe.converted, wanted, strict=True):
        assert line.startswith(start)
    listed = "c.json" if recipe.images.concepts is not None else None
    parse(study_file.text(recipe, "config", listed), tmp_path)


@pytest.mark.parametrize("case", cases())
def test_it_comes_back_from_an_export_to_sd_scripts(
    case: dict[str, Any], pictures: Callable[..., Path], tmp_path: Path
) -> None:
    pictures("train/2_cat", count=8)
    if "fails" in case:
        return
    recipe = imported(case, tmp_path)
    if recipe.images.concepts is not None:
        return
    again, config = there_and_back(recipe.plan, tmp_path)
    before, after = flat(recipe.plan), flat(again.plan)
    unsaid = {name for name in FIELDS if f"#   {name} = " in config} | {"data.cache_latents"}
    if OPTIMISERS[recipe.plan.optimiser.name].adaptive:
        unsaid |= {"optimiser.unet_lr", "optimiser.text_lr_over_unet_lr"}
    if not recipe.plan.lora.text_encoder:
        unsaid |= {"optimiser.text_lr_over_unet_lr"}
    differing = [name for name in FIELDS if name not in unsaid and not same(before[name], after[name])]
    assert differing == []


def value_of(table: dict[str, Any], name: str) -> Any:
    section, _, leaf = name.partition(".")
    return table[section][leaf]


def test_every_trainer_has_configurations_and_a_version() -> None:
    tables = [tomllib.loads(path.read_text()) for path in FOLDER.glob("*.toml")]
    assert len({table["trainer"] for table in tables}) >= 8
    assert sum(len(table["case"]) for table in tables) >= 30
    assert all("commit" in table["version"] for table in tables)
