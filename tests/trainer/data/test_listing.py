"""What lies about in people's folders is read, or named with the reason."""

from __future__ import annotations

import json
import shutil
import sys
import unicodedata
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

from trainer.data import dataset, images
from trainer.data.images import DataError
from trainer.data.listing import listing
from trainer.plans.data import DataPlan


def picture(path: Path, number: int = 0, side: int = 64) -> Path:
    """A smooth picture like no other number's."""
    coarse = np.random.default_rng(number).integers(20, 220, (7, 7, 3), dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC).save(path)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four captioned pictures."""
    for number in range(4):
        picture(tmp_path / "img" / "5_mycat" / f"p{number}.png", number).with_suffix(".txt").write_text(
            f"mycat, {number}"
        )
    return tmp_path / "img"


def notes(root: Path) -> list[str]:
    return list(images.read([root]).warnings)


def captions(root: Path) -> dict[str, str]:
    return {example.path.name: example.caption for example in images.read([root]).examples}


@pytest.mark.parametrize("suffix", [".gif", ".avif", ".jfif", ".JPEG", ".webp", ".tiff"])
def test_what_pillow_reads_is_read(folder: Path, suffix: str) -> None:
    target = folder / "5_mycat" / f"q{suffix}"
    form = {".jfif": "JPEG", ".avif": "AVIF"}.get(suffix)
    Image.open(picture(folder / "5_mycat" / "q.png", 9)).save(target, format=form)
    (folder / "5_mycat" / "q.png").unlink()
    assert q_is_read(folder, target)
    assert notes(folder) == []


def q_is_read(folder: Path, target: Path) -> bool:
    return target in [example.path for example in images.read([folder]).examples]


def test_a_package_for_pillow_is_used_where_it_is_installed(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a package's stand-in that teaches Pillow nothing new but the name."""
    taught: list[str] = []
    module = ModuleType("pillow_heif")
    module.__spec__ = ModuleSpec("pillow_heif", None)
    module.register_heif_opener = lambda: taught.append("HEIF")  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "pillow_heif", module)
    photo = picture(folder / "5_mycat" / "q.png", 9).rename(folder / "5_mycat" / "q.heic")
    assert images.open_rgb(photo).size == (64, 64)
    assert taught == ["HEIF"]


def test_what_is_left_out_is_named_once_with_the_reason(folder: Path) -> None:
    inside = folder / "5_mycat"
    (inside / "bare").write_bytes(b"x")
    (inside / "photo.heic").write_bytes(b"x")
    (inside / "gone.txt").write_text("no picture")
    (inside / "Thumbs.db").write_bytes(b"x")
    (inside / "p0.npz").write_bytes(b"x")
    picture(inside / "older" / "deep" / "x.png", 7)
    assert notes(folder) == [
        f"{inside}: left out: 1 picture(s) (photo.heic) that need `pip install pillow-heif`; 1 file(s) (bare) that no "
        "picture's suffix ends; 1 caption(s) (gone.txt) without a picture; 1 picture(s) in the sub-folder older."
    ]


def test_a_folder_with_nothing_strange_is_silent(folder: Path) -> None:
    assert notes(folder) == []
    assert listing(folder / "5_mycat").left_out == ""


@pytest.mark.parametrize("end", ["-masklabel", "-condlabel"])
def test_masks_are_no_pictures(folder: Path, end: str) -> None:
    for number in range(4):
        picture(folder / "5_mycat" / f"p{number}{end}.png", 20 + number)
    assert len(images.read([folder]).examples) == 4
    (note,) = notes(folder)
    assert f"4 mask(s) (p0{end}.png, p1{end}.png, p2{end}.png, …), which are not trained with" in note


def test_a_name_that_only_ends_like_a_mask_is_a_picture(folder: Path) -> None:
    picture(folder / "5_mycat" / "alone-masklabel.png", 30)
    assert len(images.read([folder]).examples) == 5


@pytest.mark.parametrize("name", ["p0.caption", "p0.TXT", "p0.png.txt", "p0.png.caption"])
def test_captions_by_other_names_are_read(folder: Path, name: str) -> None:
    (folder / "5_mycat" / "p0.txt").unlink()
    (folder / "5_mycat" / name).write_text("mycat, found")
    assert captions(folder)["p0.png"] == "mycat, found"


def test_a_txt_comes_before_a_caption(folder: Path) -> None:
    (folder / "5_mycat" / "p0.caption").write_text("other")
    assert captions(folder)["p0.png"] == "mycat, 0"


@pytest.mark.parametrize(("image", "text"), [("NFD", "NFC"), ("NFC", "NFD")])
def test_names_of_a_mac_match(folder: Path, image: str, text: str) -> None:
    name = unicodedata.normalize(image, "café")  # type: ignore[arg-type]
    picture(folder / "5_mycat" / f"{name}.png", 40)
    other = unicodedata.normalize(text, "café")  # type: ignore[arg-type]
    (folder / "5_mycat" / f"{other}.txt").write_text("mycat, café")
    assert captions(folder)[f"{name}.png"] == "mycat, café"
    assert notes(folder) == []


@pytest.mark.parametrize(
    ("text", "caption"),
    [
        ("mycat\nred hair\nsmile\n", "mycat, red hair, smile"),
        ("mycat, red hair,\n\n a photo  of mycat", "mycat, red hair, a photo of mycat"),
        ("mycat,  red\thair\n", "mycat, red hair"),
        ("a,\r\nb", "a, b"),
    ],
)
def test_lines_of_a_caption_are_tags(folder: Path, text: str, caption: str) -> None:
    (folder / "5_mycat" / "p0.txt").write_text(text, newline="")
    assert captions(folder)["p0.png"] == caption


def test_several_lines_are_told_once(folder: Path) -> None:
    for number in range(4):
        (folder / "5_mycat" / f"p{number}.txt").write_text("one\ntwo")
    found = dataset.read(DataPlan(folder=folder, resolution=64), (0.2, 0.2), 0).warnings
    assert [note for note in found if "4 caption(s) have several lines" in note]


def test_captions_in_metadata_jsonl_are_read_beside_those_of_files(folder: Path) -> None:
    (folder / "5_mycat" / "p0.txt").unlink()
    lines = [{"file_name": "p0.png", "text": "told"}, {"file_name": "gone.png", "prompt": "x"}]
    (folder / "5_mycat" / "metadata.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\n")
    assert captions(folder) == {
        "p0.png": "told",
        "p1.png": "mycat, 1",
        "p2.png": "mycat, 2",
        "p3.png": "mycat, 3",
    }


@pytest.mark.parametrize(
    "text", ["{", "[1]", '{"file_name": 3}', '{"file_name": "p0.png", "text": 3}', "\xff"]
)
def test_a_broken_metadata_jsonl_is_named(folder: Path, text: str) -> None:
    (folder / "5_mycat" / "metadata.jsonl").write_bytes(text.encode("latin-1"))
    with pytest.raises(DataError, match=r"metadata\.jsonl: the captions cannot be read"):
        images.read([folder])


def test_kohyas_project_folder_is_opened(folder: Path) -> None:
    for other in ("log", "model"):
        (folder.parent / other).mkdir()
    assert captions(folder.parent) == captions(folder)


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("1_", "1_img"),
        ("5", "5_img"),
        ("mycat", "10_mycat"),
        ("0_cat", "10_cat"),
        ("my_cat", "10_cat"),
        ("_", "10_img"),
    ],
)
def test_the_advised_name_keeps_the_number_and_is_accepted(folder: Path, name: str, advice: str) -> None:
    wrong = folder / name
    (folder / "5_mycat").rename(wrong)
    with pytest.raises(DataError, match=f"e\\.g\\. to '{advice}'"):
        images.read([folder])
    wrong.rename(folder / advice)
    images.read([folder])


def test_copies_count_once_with_their_repeats_added_up(folder: Path) -> None:
    shutil.copytree(folder / "5_mycat", folder / "2_mycat")
    found = images.read([folder])
    assert [example.repeats for example in found.examples] == [7] * 4
    assert found.warnings == (
        "4 of 8 images are copies of others with the same caption: each picture counts once, with the repeats of its "
        "copies added up.",
    )


def test_copies_with_other_captions_are_trained_on_and_counted_once(folder: Path) -> None:
    shutil.copytree(folder / "5_mycat", folder / "2_other")
    for text in (folder / "2_other").glob("*.txt"):
        text.write_text("other words")
    found = dataset.read(DataPlan(folder=folder, resolution=64), (0.2, 0.2), 0, None)
    assert len(found.examples) == 8
    assert len(found.together) == 4
    assert len(found.folds) == 3, "four pictures, one of them in the test"
    held_out = [side for split in found.folds for side in (split.validation, split.test)]
    assert all(len(side) == found.different(side) for side in held_out), "errors are over different pictures"
