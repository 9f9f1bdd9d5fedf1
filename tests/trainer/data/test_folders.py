"""Concepts lists and several folders."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from trainer.data.folders import NO_RULES, CaptionRules
from trainer.data.images import DataError, FolderContents, read


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Three folders with three images each: ``cats``, ``dogs`` and ``7_birds`` in ``more``."""
    for number, name in enumerate(("cats", "dogs", "more/7_birds")):
        folder = tmp_path / name
        folder.mkdir(parents=True)
        for i in range(3):
            array = np.random.default_rng(10 * number + i).integers(0, 256, (16, 16, 3), dtype=np.uint8)
            Image.fromarray(array).save(folder / f"{i}.png")
    (tmp_path / "cats" / "0.txt").write_text("a cat, indoors")
    return tmp_path


def concepts(root: Path, entries: Any) -> Path:
    path = root / "lists" / "concepts.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(entries))
    return path


def problems_of(root: Path, entries: Any) -> list[str]:
    with pytest.raises(DataError) as caught:
        read([], concepts(root, entries))
    return caught.value.problems


CATS = {"instance_data_dir": "../cats", "instance_prompt": "photo of sks cat"}


def test_a_concept_brings_images_prompts_repeats_and_rules(root: Path) -> None:
    entries = [
        {**CATS, "num_repeats": 4, "keep_tokens": 2, "caption_dropout_rate": 0.5, "shuffle_caption": True},
        {"instance_data_dir": str(root / "dogs")},
    ]
    cats, dogs = split(read([], concepts(root, entries)))
    assert [example.caption for example in cats] == [
        "a cat, indoors",
        "photo of sks cat",
        "photo of sks cat",
    ]
    assert [example.captioned for example in cats] == [True, False, False]
    assert {example.repeats for example in cats} == {4}
    assert {example.rules for example in cats} == {CaptionRules(True, 2, 0.5, None)}
    assert {(e.caption, e.repeats, e.rules) for e in dogs} == {("dogs", 1, NO_RULES)}


def test_filewords_put_the_caption_into_the_prompt(root: Path) -> None:
    entry = {
        **CATS,
        "instance_prompt": "photo of sks cat, [filewords], sharp",
        "class_data_dir": "../dogs",
        "class_prompt": "[filewords]",
    }
    reading = read([], concepts(root, [entry]))
    assert [example.caption for example in reading.examples] == [
        "photo of sks cat, a cat, indoors, sharp",
        "photo of sks cat, sharp",
        "photo of sks cat, sharp",
    ]
    assert {example.words for example in reading.examples} == {"photo of sks cat, sharp"}
    assert [example.captioned for example in reading.examples] == [True, False, False]
    assert [example.caption for example in reading.regularisation] == [""] * 3


def split(reading: FolderContents) -> tuple[Any, Any]:
    return reading.examples[:3], reading.examples[3:]


def test_a_class_folder_holds_regularisation_images(root: Path) -> None:
    entry = {**CATS, "class_data_dir": "../dogs", "class_prompt": "photo of a cat"}
    reading = read([], concepts(root, [entry]))
    assert [example.path.parent.name for example in reading.examples] == ["cats"] * 3
    assert [example.path.parent.name for example in reading.regularisation] == ["dogs"] * 3
    assert {example.caption for example in reading.regularisation} == {"photo of a cat"}


def test_folders_and_concepts_add_up_in_order(root: Path) -> None:
    (root / "first").mkdir()
    (root / "dogs").rename(root / "first" / "2_dogs")
    reading = read([root / "first", root / "more"], concepts(root, [CATS]))
    assert [example.path.parent.name for example in reading.examples] == [
        *["2_dogs"] * 3,
        *["7_birds"] * 3,
        *["cats"] * 3,
    ]
    assert [example.repeats for example in reading.examples] == [2] * 3 + [7] * 3 + [1] * 3


def test_a_regularisation_folder_is_read_like_a_training_folder(root: Path) -> None:
    reading = read([], concepts(root, [CATS]), root / "more")
    assert [example.caption for example in reading.regularisation] == ["birds"] * 3
    assert {example.repeats for example in reading.regularisation} == {7}


def test_every_problem_of_a_list_is_told_with_its_concept(root: Path) -> None:
    (root / "empty").mkdir()
    problems = problems_of(
        root,
        [
            {**CATS, "colour": "red"},
            {"instance_prompt": "x"},
            {"instance_data_dir": "../nowhere"},
            {"instance_data_dir": "../empty"},
            {**CATS, "repeats": 0},
            {**CATS, "repeats": 2, "num_repeats": 2},
            "cats",
        ],
    )
    for words in (
        ("concept 1", "'colour' is not a known key", "keep_tokens", "num_repeats"),
        ("concept 2", "'instance_data_dir' is missing"),
        ("concept 3", "nowhere does not exist"),
        ("concept 4", "empty holds no image"),
        ("concept 5", "'repeats'", "greater than or equal to 1", "got 0"),
        ("concept 6", "'num_repeats' and 'repeats' are the same"),
        ("concept 7", "dictionary"),
    ):
        assert [problem for problem in problems if all(word in problem for word in words)], words
    assert len(problems) == 7


@pytest.mark.parametrize("text", ["{", "[]", '"cats"'])
def test_what_is_no_list_of_concepts_is_told(root: Path, text: str) -> None:
    path = concepts(root, [])
    path.write_text(text)
    with pytest.raises(DataError, match=r"concepts\.json"):
        read([], path)


def test_a_missing_list_is_told(root: Path) -> None:
    with pytest.raises(DataError, match="cannot be read as JSON"):
        read([], root / "none.json")


@pytest.mark.parametrize("folder", [r"..\cats", r".\..\cats", "../cats"])
def test_folders_of_a_concept_may_be_written_as_on_windows(root: Path, folder: str) -> None:
    examples = split(read([], concepts(root, [{"instance_data_dir": folder}])))[0]
    assert {example.path.parent for example in examples} == {root / "cats"}
    assert {example.caption for example in examples if not example.captioned} == {"cats"}


def test_a_folder_on_another_system_is_told_as_it_was_written(root: Path) -> None:
    (problem,) = problems_of(root, [{"instance_data_dir": r"D:\sets\cats"}])
    assert r"instance_data_dir D:\sets\cats does not exist" in problem


def test_a_folder_with_a_name_that_no_file_system_has_is_told(root: Path) -> None:
    concepts = root / "concepts.json"
    concepts.write_text(json.dumps([{"instance_data_dir": "a" * 300, "class_data_dir": "b" * 5000}]))
    with pytest.raises(DataError) as caught:
        read([], concepts)
    assert len(caught.value.problems) == 2
    assert all("does not exist" in problem for problem in caught.value.problems)
