"""No leak between the sides, whatever the sizes, shares and duplicates."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from trainer.data.images import open_rgb
from trainer.data.split import Look, folds, groups, look, near_duplicates, split

SHARES = st.floats(0.05, 0.45)


def content(i: int) -> str:
    return hashlib.sha256(str(i).encode()).hexdigest()


@st.composite
def grouped(draw: st.DrawFn) -> list[list[int]]:
    """3 to 60 examples in at least 3 groups."""
    size = draw(st.integers(3, 60))
    labels = [0, 1, 2, *(draw(st.integers(0, size - 1)) for _ in range(size - 3))]
    members: dict[int, list[int]] = {}
    for example, label in enumerate(labels):
        members.setdefault(label, []).append(example)
    return list(members.values())


@given(together=grouped(), validation=SHARES, test=SHARES, seed=st.integers(0, 50))
def test_groups_stay_together_and_no_side_is_empty(
    together: list[list[int]], validation: float, test: float, seed: int
) -> None:
    count = sum(map(len, together))
    found = split([content(i) for i in range(count)], together, (validation, test), seed)
    sides = [set(found.train), set(found.validation), set(found.test)]
    assert all(sides)
    for group in together:
        kept = [len(side & set(group)) for side in sides]
        assert kept in ([len(group), 0, 0], [0, 1, 0], [0, 0, 1]), "all trained on, or one held out for all"


@given(together=grouped(), shares=st.tuples(SHARES, SHARES), seed=st.integers(0, 50), order=st.randoms())
def test_the_split_does_not_depend_on_the_order_of_files(
    together: list[list[int]], shares: tuple[float, float], seed: int, order: object
) -> None:
    count = sum(map(len, together))
    contents = [content(i) for i in range(count)]
    first = split(contents, together, shares, seed)
    places = list(range(count))
    order.shuffle(places)  # type: ignore[attr-defined]
    moved = [contents[place] for place in places]
    where = {place: i for i, place in enumerate(places)}
    regrouped = [sorted(where[i] for i in group) for group in reversed(together)]
    second = split(moved, regrouped, shares, seed)
    for side in ("train", "validation", "test"):
        assert {contents[i] for i in getattr(first, side)} == {moved[i] for i in getattr(second, side)}


@pytest.mark.parametrize(("count", "wanted"), [(20, (14, 3, 3)), (60, (42, 9, 9)), (3, (1, 1, 1))])
def test_single_images_are_dealt_in_the_given_shares(count: int, wanted: tuple[int, int, int]) -> None:
    found = split([content(i) for i in range(count)], [[i] for i in range(count)], (0.15, 0.15), 0)
    assert (len(found.train), len(found.validation), len(found.test)) == wanted


def test_many_copies_of_one_picture_go_to_training() -> None:
    found = split([content(i) for i in range(52)], [list(range(50)), [50], [51]], (0.15, 0.15), 0)
    assert found.train == tuple(range(50))


def test_another_seed_is_another_split() -> None:
    contents, together = [content(i) for i in range(40)], [[i] for i in range(40)]
    assert split(contents, together, (0.15, 0.15), 0) != split(contents, together, (0.15, 0.15), 1)


def test_a_new_image_moves_few_others() -> None:
    """Membership is by content hash, so that a set may grow without a new deal."""
    contents = [content(i) for i in range(41)]
    before = split(contents[:40], [[i] for i in range(40)], (0.15, 0.15), 0)
    after = split(contents, [[i] for i in range(41)], (0.15, 0.15), 0)
    moved = set(before.test + before.validation) ^ set(after.test + after.validation)
    assert len(moved) <= 2


def test_two_different_images_cannot_be_split() -> None:
    with pytest.raises(ValueError, match="only 2 different image"):
        split([content(i) for i in range(5)], [[0, 1, 2], [3, 4]], (0.15, 0.15), 0)


@pytest.fixture(scope="module")
def demo(demo_folder: Path) -> dict[str, Image.Image]:
    return {path.stem: open_rgb(path) for path in sorted(demo_folder.glob("*/*.png"))}


def test_different_demonstration_images_are_not_joined(demo: dict[str, Image.Image]) -> None:
    looks = [look(image) for image in demo.values()]
    found = groups(list(demo), looks)
    assert [[list(demo)[i] for i in group] for group in found if len(group) > 1] == []


def reencoded(image: Image.Image, quality: int) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return Image.open(buffer).convert("RGB")


@pytest.mark.parametrize("change", ["jpeg", "smaller", "larger"])
def test_changed_copies_are_found(demo: dict[str, Image.Image], change: str) -> None:
    missed = []
    for name, image in demo.items():
        photo = image.resize((256, 256), Image.Resampling.BICUBIC)
        copy = {
            "jpeg": lambda photo=photo: reencoded(photo, 80),
            "smaller": lambda photo=photo: photo.resize((200, 200), Image.Resampling.LANCZOS),
            "larger": lambda photo=photo: photo.resize((400, 400), Image.Resampling.BILINEAR),
        }[change]()
        if not near_duplicates(look(photo), look(copy)):
            missed.append(name)
    assert missed == []


def test_a_picture_in_other_colours_is_another_picture() -> None:
    array = np.zeros((64, 64, 3), dtype=np.uint8)
    array[16:48, 16:48, 0] = 200
    red, green = Image.fromarray(array), Image.fromarray(np.roll(array, 1, axis=2))
    assert not near_duplicates(look(red), look(green))


def test_likeness_is_passed_on_and_equal_files_are_joined() -> None:
    """a ~ b and b ~ c put a with c though they differ too much by themselves."""

    def bits(count: int) -> Look:
        return Look(np.arange(256) < count, np.zeros((8, 8, 3)))

    looks = [bits(0), bits(200), bits(20), bits(10), bits(100)]
    assert groups(["a", "b", "c", "d", "b"], looks) == [[0, 2, 3], [1, 4]]


@given(together=grouped(), shares=st.tuples(SHARES, SHARES), seed=st.integers(0, 50), k=st.integers(2, 6))
def test_folds_share_a_test_side_and_part_the_rest(
    together: list[list[int]], shares: tuple[float, float], seed: int, k: int
) -> None:
    count = sum(map(len, together))
    contents = [content(i) for i in range(count)]
    test = split(contents, together, shares, seed).test
    rest = [group for group in together if set(test).isdisjoint(group)]
    if k > len(rest):
        with pytest.raises(ValueError, match=f"but got {k}"):
            folds(contents, together, shares, k, seed)
        return
    found = folds(contents, together, shares, k, seed)
    assert len(found) == k
    assert {fold.test for fold in found} == {test}
    held = [i for fold in found for i in fold.validation]
    assert sorted(len({*held, *test} & set(group)) for group in together) == [1] * len(together)
    for fold in found:
        assert fold.validation
        for group in together:
            kept = [len(set(side) & set(group)) for side in (fold.train, fold.validation, fold.test)]
            assert kept in ([len(group), 0, 0], [0, 1, 0], [0, 0, 1])


def test_folds_of_single_images_are_alike_in_size_and_independent_of_file_order() -> None:
    contents, together = [content(i) for i in range(23)], [[i] for i in range(23)]
    found = folds(contents, together, (0.15, 0.15), 4, 0)
    assert [len(fold.validation) for fold in found] == [5, 5, 5, 5]
    turned = folds(contents[::-1], together, (0.15, 0.15), 4, 0)
    assert [{contents[i] for i in fold.validation} for fold in found] == [
        {contents[::-1][i] for i in fold.validation} for fold in turned
    ]


def test_one_fold_is_none() -> None:
    with pytest.raises(ValueError, match="folds must be from 2"):
        folds([content(i) for i in range(9)], [[i] for i in range(9)], (0.15, 0.15), 1, 0)
