"""Which images LoRAs from elsewhere are judged on."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path

import pytest
from PIL import Image

from studies.selection.held_out import read
from tests.words import sentence_of
from trainer.data.dataset import Dataset
from trainer.data.images import DataError


@pytest.fixture
def folders(demo_folder: Path, tmp_path: Path) -> tuple[Path, Path]:
    """Twelve flat training images, and eight others in an ``N_name`` folder."""
    data, apart = tmp_path / "data", tmp_path / "apart"
    (apart / "1_more").mkdir(parents=True)
    data.mkdir()
    for place, image in enumerate(sorted(demo_folder.glob("*/*.png"))[:20]):
        for file in (image, image.with_suffix(".txt")):
            shutil.copy(file, data if place < 12 else apart / "1_more")
    return data, apart


def tags(dataset: Dataset, which: range | tuple[int, ...]) -> str:
    """As sd-scripts lists them."""
    counts = Counter(tag.strip() for i in which for tag in dataset.examples[i].caption.split(","))
    return json.dumps({"1_x": dict(counts)})


def test_without_images_apart_the_studys_split_is_taken_with_a_warning(folders: tuple[Path, Path]) -> None:
    found = read(folders[0], None, [{}], 64, None)
    split = found.dataset.split
    assert (len(split.train), len(split.validation), len(split.test)) == (8, 2, 2)
    assert not found.never_trained_on
    assert "may have been trained on" in sentence_of(found.warnings[-1]) and "--held-out" in sentence_of(
        found.warnings[-1]
    )


def test_files_that_list_all_captions_were_trained_on_all(folders: tuple[Path, Path]) -> None:
    dataset = read(folders[0], None, [], 64, 0).dataset
    facts = {"ss_tag_frequency": tags(dataset, range(len(dataset.examples)))}
    assert "images were trained on" in sentence_of(read(folders[0], None, [facts], 64, None).warnings[-1])


def test_a_studys_own_files_are_judged_on_what_it_held_out(folders: tuple[Path, Path]) -> None:
    dataset = read(folders[0], None, [], 64, 5).dataset
    facts = {
        "ss_tag_frequency": tags(dataset, dataset.split.train),
        "lorasearch_plan": json.dumps({"seed": 5}),
    }
    found = read(folders[0], None, [facts], 64, None)
    assert found.never_trained_on
    assert found.dataset.split == dataset.split
    assert not any("trained on" in sentence_of(warning) for warning in found.warnings)


def test_images_apart_are_judged_on_alone_and_some_are_kept_for_the_test(folders: tuple[Path, Path]) -> None:
    data, apart = folders
    found = read(data, apart, [{}], 64, None)
    paths = [example.path for example in found.dataset.examples]
    split = found.dataset.split
    assert found.never_trained_on
    assert all(paths[i].is_relative_to(apart) for i in (*split.validation, *split.test))
    assert all(paths[i].is_relative_to(data) for i in split.train)
    assert (len(split.train), len(split.validation), len(split.test)) == (12, 5, 3)


def test_held_out_images_whose_tags_the_files_list_are_doubted(folders: tuple[Path, Path]) -> None:
    data, apart = folders
    everything = read(data, apart, [{}], 64, None).dataset
    facts = {"ss_tag_frequency": tags(everything, range(len(everything.examples)))}
    found = read(data, apart, [facts], 64, None)
    assert not found.never_trained_on
    assert "8 held-out image(s) have tags that the LoRA files list" in sentence_of(found.warnings[-1])
    honest = {"ss_tag_frequency": tags(everything, everything.split.train)}
    assert read(data, apart, [honest], 64, None).never_trained_on


def test_a_copy_of_a_training_image_is_left_out(folders: tuple[Path, Path]) -> None:
    data, apart = folders
    copied = sorted(data.glob("*.png"))[0]
    with Image.open(copied) as image:
        image.convert("RGB").resize((80, 80)).save(apart / "1_more" / "copy.png")
    found = read(data, apart, [{}], 64, None)
    judged = {found.dataset.examples[i].path.name for i in found.dataset.split.validation}
    assert "copy.png" not in judged
    told = [sentence_of(warning) for warning in found.warnings]
    assert any("copy.png" in warning and "left out" in warning for warning in told)


def test_the_training_folder_itself_is_no_held_out_folder(folders: tuple[Path, Path]) -> None:
    with pytest.raises(DataError, match="never trained on"):
        read(folders[0], folders[0], [{}], 64, None)


@pytest.mark.parametrize("flat", [False, True], ids=["N_name", "flat"])
def test_a_folder_apart_may_be_named_from_here(
    folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, flat: bool
) -> None:
    data, apart = folders
    monkeypatch.chdir(data.parent)
    place = Path(apart.name) / "1_more" if flat else Path(apart.name)
    sides = read(Path(data.name), place, [{}], 64, None).dataset.split
    assert (len(sides.train), len(sides.validation) + len(sides.test)) == (12, 8)
