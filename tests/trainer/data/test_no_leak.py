"""No image and no changed copy of it is on two sides: from pixels to the split, over sizes, shares and copies."""

from __future__ import annotations

import hashlib
import io
import random
import shutil
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from trainer.data import dataset
from trainer.data.images import DataError
from trainer.data.split import Look, Split, folds, groups, look, near_duplicates, split
from trainer.plans.data import DataPlan

CHANGES = ("same", "jpeg", "smaller", "larger", "brighter", "darker")
SHARES = st.tuples(st.floats(0.05, 0.45), st.floats(0.05, 0.45))


@cache
def original(number: int) -> Image.Image:
    """A smooth picture like no other."""
    coarse = np.random.default_rng(number).integers(20, 220, (7, 7, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((96, 96), Image.Resampling.BICUBIC)


@cache
def shown(number: int, change: str) -> tuple[str, Look]:
    """Content hash and look of a picture as ``change`` leaves it."""
    picture = changed(original(number), change)
    return hashlib.sha256(picture.tobytes()).hexdigest(), look(picture)


def changed(picture: Image.Image, change: str) -> Image.Image:
    if change == "jpeg":
        buffer = io.BytesIO()
        picture.save(buffer, "JPEG", quality=85)
        return Image.open(buffer).convert("RGB")
    if change in ("smaller", "larger"):
        side = 72 if change == "smaller" else 150
        return picture.resize((side, side), Image.Resampling.LANCZOS)
    factor = {"brighter": 1.05, "darker": 0.95}.get(change, 1.0)
    return picture.point(lambda value: min(255, round(value * factor)))


@st.composite
def collections(draw: st.DrawFn) -> list[tuple[int, str]]:
    """3 to 200 pictures of at least 3 originals; the others are originals or changed copies."""
    size = draw(st.integers(3, 200))
    lot = random.Random(draw(st.integers(0, 10_000)))
    copied = draw(st.sampled_from([0.0, 0.2, 0.8]))
    found = [(i, "same") for i in range(3)]
    for fresh in range(3, size):
        copy = lot.choice(found)[0], lot.choice(CHANGES)
        found.append(copy if lot.random() < copied else (fresh, "same"))
    lot.shuffle(found)
    return found


def sides_of(found: Split) -> list[set[int]]:
    return [set(found.train), set(found.validation), set(found.test)]


def assert_sealed(pictures: list[tuple[int, str]], found: Split) -> None:
    """Of all that looks alike either all is trained on, or one is held out and nothing else is on any side."""
    sides = sides_of(found)
    where = {i: place for place, side in enumerate(sides) for i in side}
    assert sum(map(len, sides)) == len(where)
    assert all(sides)
    looks = [shown(*picture)[1] for picture in pictures]
    alike = [{i} for i in range(len(pictures))]
    for i, (number, _) in enumerate(pictures):
        for j in range(i):
            if number == pictures[j][0] or near_duplicates(looks[i], looks[j]):
                alike[i].add(j)
                alike[j].add(i)
    train = sides[0]
    for i, others in enumerate(alike):
        if i in train:
            assert others <= train
        elif i in where:
            assert others & where.keys() == {i}
    assert all(reached(i, alike) & where.keys() for i in range(len(pictures)))


def reached(start: int, alike: list[set[int]]) -> set[int]:
    """All that likeness passes on to."""
    found, front = {start}, {start}
    while front:
        front = {j for i in front for j in alike[i]} - found
        found |= front
    return found


@settings(max_examples=60)
@given(pictures=collections(), shares=SHARES, seed=st.integers(0, 50))
def test_no_picture_and_no_copy_is_on_two_sides(
    pictures: list[tuple[int, str]], shares: tuple[float, float], seed: int
) -> None:
    contents, looks = zip(*(shown(*picture) for picture in pictures), strict=True)
    together = groups(contents, looks)
    assert_sealed(pictures, split(contents, together, shares, seed))


@settings(max_examples=30)
@given(pictures=collections(), shares=SHARES, seed=st.integers(0, 50), k=st.integers(2, 5))
def test_no_picture_and_no_copy_is_on_two_sides_of_a_fold(
    pictures: list[tuple[int, str]], shares: tuple[float, float], seed: int, k: int
) -> None:
    contents, looks = zip(*(shown(*picture) for picture in pictures), strict=True)
    together = groups(contents, looks)
    test = split(contents, together, shares, seed).test
    if k > sum(set(test).isdisjoint(group) for group in together):
        return
    for fold in folds(contents, together, shares, k, seed):
        assert fold.test == test
        assert_sealed(pictures, fold)


@settings(max_examples=30)
@given(pictures=collections(), shares=SHARES, seed=st.integers(0, 50), order=st.randoms())
def test_read_again_in_any_order_every_picture_is_where_it_was(
    pictures: list[tuple[int, str]], shares: tuple[float, float], seed: int, order: random.Random
) -> None:
    def by_content(dealt: list[tuple[int, str]]) -> list[set[str]]:
        contents, looks = zip(*(shown(*picture) for picture in dealt), strict=True)
        found = split(contents, groups(contents, looks), shares, seed)
        return [{contents[i] for i in side} for side in sides_of(found)]

    again = list(pictures)
    order.shuffle(again)
    assert by_content(again) == by_content(pictures)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Nine pictures, four of them with a changed copy."""
    root = tmp_path_factory.mktemp("images")
    made = root / "1_things"
    made.mkdir()
    for number in range(9):
        original(number).save(made / f"{number}.png")
        if number < 4:
            changed(original(number), CHANGES[number + 1]).save(made / f"copy {number}.png")
    for image in made.glob("*.png"):
        image.with_suffix(".txt").write_text("a thing")
    return root


def test_files_are_split_alike_after_they_were_moved(folder: Path, tmp_path: Path) -> None:
    """What a resumed study does: it reads its files again, perhaps elsewhere and under other names."""
    moved = tmp_path / "elsewhere" / "1_others"
    moved.mkdir(parents=True)
    for place, image in enumerate(sorted(folder.glob("*/*.png"), reverse=True)):
        shutil.copy(image, moved / f"{place:02}.png")
        shutil.copy(image.with_suffix(".txt"), moved / f"{place:02}.txt")
    for count in (0, 3):
        first, again = (
            dataset.read(DataPlan(folder=where, resolution=64), (0.2, 0.2), 7, count)
            for where in (folder, moved.parent)
        )
        for one, other in zip((first.split, *first.folds), (again.split, *again.folds), strict=True):
            for side, same in zip(sides_of(one), sides_of(other), strict=True):
                assert {first.examples[i].content for i in side} == {again.examples[i].content for i in same}


def test_a_data_set_tells_its_groups(folder: Path) -> None:
    found = dataset.read(DataPlan(folder=folder, resolution=64), (0.2, 0.2), 7)
    names = [example.path.stem for example in found.examples]
    joined = {tuple(sorted(names[i] for i in group)) for group in found.together if len(group) > 1}
    assert joined == {(str(number), f"copy {number}") for number in range(4)}


def test_copies_of_two_pictures_cannot_be_split(tmp_path: Path) -> None:
    made = tmp_path / "1_things"
    made.mkdir()
    for number in range(2):
        for change in CHANGES:
            changed(original(number), change).save(made / f"{number} {change}.png")
            (made / f"{number} {change}.txt").write_text("a thing")
    with pytest.raises(DataError, match="only 2 different image"):
        dataset.read(DataPlan(folder=tmp_path, resolution=64), (0.15, 0.15), 0)
