from __future__ import annotations

import json
from pathlib import Path

import pytest

from trainer.data.caption_table import captions

IMAGES = [Path("/pictures/cat.png"), Path("/pictures/dog.jpg"), Path("/pictures/fox.png")]


def written(folder: Path, table: object) -> Path:
    file = folder / "meta.json"
    file.write_text(json.dumps(table))
    return file


@pytest.mark.parametrize(
    "name", ["cat", "cat.png", "/pictures/cat", "/pictures/cat.png", "./cat", "\\pictures\\cat.png"]
)
def test_an_image_is_found_by_path_or_name_with_or_without_its_suffix(tmp_path: Path, name: str) -> None:
    assert captions(written(tmp_path, {name: {"caption": "a cat"}}), IMAGES) == {IMAGES[0]: "a cat"}


@pytest.mark.parametrize(
    ("entry", "caption"),
    [
        ({"caption": "a cat", "tags": "cat, red"}, "a cat, cat, red"),
        ({"caption": " a cat "}, "a cat"),
        ({"tags": "cat"}, "cat"),
        ({"caption": None, "tags": "cat"}, "cat"),
        ({"train_resolution": [64, 64]}, ""),
        ("a cat", "a cat"),
    ],
)
def test_tags_follow_the_caption(tmp_path: Path, entry: object, caption: str) -> None:
    assert captions(written(tmp_path, {"dog": entry}), IMAGES) == {IMAGES[1]: caption}


def test_images_that_it_does_not_name_are_left_out(tmp_path: Path) -> None:
    assert captions(written(tmp_path, {"owl": {"caption": "x"}}), IMAGES) == {}


@pytest.mark.parametrize(
    ("table", "told"),
    [([1], "must be a JSON object"), ({"cat": {"caption": 3}}, "must give 'cat' a caption or tags as text")],
)
def test_what_is_no_metadata_is_told(tmp_path: Path, table: object, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        captions(written(tmp_path, table), IMAGES)


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="cannot be read as JSON"):
        captions(tmp_path / "none.json", IMAGES)
