"""What is found wrong with single images, and how it is shown."""

from __future__ import annotations

import shutil
import sys
from dataclasses import replace
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

import pytest
from PIL import Image, ImageFilter, ImageOps, PpmImagePlugin

from studies.commands.check import ImageFinding, by_image, counts, findings, sights, told
from trainer.data import dataset as datasets
from trainer.data.dataset import Dataset
from trainer.plans.data import DataPlan


@pytest.fixture
def folder(demo_folder: Path, tmp_path: Path) -> Path:
    """Twelve sound images with captions."""
    place = tmp_path / "1_fluent"
    place.mkdir()
    for image in sorted(demo_folder.glob("*/*.png"))[:12]:
        for file in (image, image.with_suffix(".txt")):
            shutil.copy(file, place)
    return place


def read(folder: Path, seed: int = 0) -> Dataset:
    return datasets.read(DataPlan(folder=folder.parent, resolution=64), (0.2, 0.2), seed)


def found(folder: Path, trigger: str = "", seed: int = 0) -> list[ImageFinding]:
    dataset = read(folder, seed)
    return findings(dataset, sights(dataset), trigger)


def test_a_sound_folder_has_no_findings(folder: Path) -> None:
    assert found(folder, "fluentflat") == []


def test_every_planted_problem_is_found_at_its_image_and_nowhere_else(folder: Path) -> None:
    names = sorted(path.name for path in folder.glob("*.png"))
    blurred, small, copy_of, palette, bare, empty, other = names[:7]
    with Image.open(folder / blurred) as image:
        image.convert("RGB").filter(ImageFilter.GaussianBlur(9)).save(folder / blurred)
    with Image.open(folder / small) as image:
        image.convert("RGB").resize((30, 30)).save(folder / small)
    with Image.open(folder / copy_of) as image:
        image.convert("RGB").resize((90, 90)).save(folder / "zz-copy.png")
    (folder / "zz-copy.txt").write_text("fluentflat, copy")
    with Image.open(folder / palette) as image:
        image.convert("P").save(folder / palette)
    (folder / bare).with_suffix(".txt").unlink()
    (folder / empty).with_suffix(".txt").write_text("")
    (folder / other).with_suffix(".txt").write_text("something else")
    kinds = {
        kind: {finding.path.name for finding in found(folder, "fluentflat") if finding.kind == kind}
        for kind in (
            "blurred",
            "small",
            "duplicate",
            "converted",
            "uncaptioned",
            "empty caption",
            "no trigger",
        )
    }
    assert kinds == {
        "blurred": {blurred},
        "small": {small},
        "duplicate": {"zz-copy.png"},
        "converted": {palette},
        "uncaptioned": {bare},
        "empty caption": {empty},
        "no trigger": {bare, empty, other},
    }


def test_a_mirrored_copy_on_the_other_side_is_a_leak(folder: Path) -> None:
    dataset = read(folder)
    held = dataset.examples[dataset.split.validation[0]].path
    for seed in range(40):
        copy = folder / "mirrored.png"
        with Image.open(held) as image:
            ImageOps.mirror(image.convert("RGB")).save(copy)
        copy.with_suffix(".txt").write_text("fluentflat, copy")
        split = read(folder, seed)
        where = {split.examples[i].path.name for i in split.split.train}
        if copy.name in where and held.name not in where:
            leaks = [one for one in found(folder, seed=seed) if one.kind == "leak"]
            assert [(one.path.name, "mirror image of mirrored.png" in one.said) for one in leaks] == [
                (held.name, True)
            ]
            assert "remove one of the two" in next(told(leaks))
            return
    pytest.fail("no seed put the copy on the other side")


def test_what_is_said_is_gathered_by_image() -> None:
    one, two = Path("a.png"), Path("b.png")
    gathered = [
        ImageFinding("small", one, "small"),
        ImageFinding("blurred", two, "b"),
        ImageFinding("blurred", one, "blurred"),
    ]
    assert by_image(gathered) == {one: ["small", "blurred"], two: ["b"]}
    assert counts(gathered) == {"small": 1, "blurred": 2}


def test_pictures_of_a_format_that_a_package_teaches_are_looked_at(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a package's stand-in, whose format is Pillow's PPM under another name."""
    module = ModuleType("pillow_heif")
    module.__spec__ = ModuleSpec("pillow_heif", None)
    monkeypatch.setitem(sys.modules, "pillow_heif", module)
    taught = PpmImagePlugin.PpmImageFile, lambda prefix: prefix.startswith(b"P6")
    monkeypatch.setitem(Image.OPEN, "HEIF", taught)
    dataset = read(folder)
    photo = folder / "photo.heic"
    Image.open(dataset.examples[0].path).convert("RGB").save(photo, "PPM")
    with_photo = replace(dataset, examples=(replace(dataset.examples[0], path=photo), *dataset.examples[1:]))
    seen = sights(with_photo)
    assert seen[0].converted is None
    assert seen[0].sharpness == pytest.approx(sights(dataset)[0].sharpness)
