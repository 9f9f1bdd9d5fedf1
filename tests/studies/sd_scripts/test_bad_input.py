"""Whatever stands behind a key, there is a study or a sentence."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import pytest

from studies.errors import StudyError
from studies.sd_scripts import importing, study_file
from studies.sd_scripts.settings import known_keys
from studies.spec.study_file import parse
from tests.studies.conftest import ASSETS

WEIRD: list[Any] = [3, -1, 0, 2.5, float("inf"), "x", "", True, [], ["a=b"], [[1]], {"a": 1}, "\0", 10**30]
WEIRD += [datetime.date(2020, 1, 1), "1,2,3"]
SUBSET = ("num_repeats", "class_tokens", "is_reg", "image_dir", "metadata_file", "keep_tokens", "resolution")


@pytest.fixture
def images(tmp_path: Path) -> Path:
    place = tmp_path / "train" / "2_x"
    place.mkdir(parents=True)
    for i in range(3):
        (place / f"{i}.png").write_bytes(b"")
    return place


def survives(tables: dict[str, Any], monkeypatch: pytest.MonkeyPatch, dataset: bool = False) -> None:
    monkeypatch.setattr(importing, "load", lambda path: dict(tables[path.name]))
    try:
        recipe = importing.read(Path("config"), Path("dataset") if dataset else None)
    except StudyError:
        return
    parse(study_file.text(recipe, "config", "c.json"), Path("/"))


@pytest.mark.parametrize("value", WEIRD, ids=repr)
def test_any_value_of_any_key(value: Any, images: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good = {
        "pretrained_model_name_or_path": str(ASSETS / "micro-sd"),
        "train_data_dir": str(images.parent),
        "max_train_epochs": 2,
    }
    for key in {*known_keys(), "sample_cfg", "output_name", "nonsense"} - {
        "dataset_config",
        "optimizer_args",
    }:
        survives({"config": {**good, key: value}}, monkeypatch)


@pytest.mark.parametrize("value", WEIRD, ids=repr)
def test_any_value_in_a_data_set_file(value: Any, images: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good = {"pretrained_model_name_or_path": str(ASSETS / "micro-sd"), "max_train_epochs": 2}
    tables: list[dict[str, Any]] = [
        {"datasets": value},
        {"datasets": [value]},
        {"datasets": [{"subsets": value}]},
        {"datasets": [{"subsets": [value]}]},
        {"general": value, "datasets": [{"subsets": [{"image_dir": str(images)}]}]},
        *({"datasets": [{"subsets": [{"image_dir": str(images), key: value}]}]} for key in SUBSET),
    ]
    for table in tables:
        survives({"config": good, "dataset": table}, monkeypatch, dataset=True)
