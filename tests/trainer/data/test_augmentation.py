"""Views against numpy and PIL by hand, and their draws."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageEnhance

from trainer.data.augmentation import View, drawn, mirrored, plain, show
from trainer.data.buckets import fit
from trainer.plans.data import DataPlan

SIDES = st.tuples(st.integers(20, 200), st.integers(20, 200))
TARGETS = st.sampled_from([(64, 64), (96, 48), (32, 128)])


def plan(**fields: Any) -> DataPlan:
    return DataPlan(folder=".", **fields)  # type: ignore[arg-type]


def noise(size: tuple[int, int] = (120, 90)) -> Image.Image:
    array = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(array)


def same(first: Image.Image, second: Image.Image) -> bool:
    return np.array_equal(np.asarray(first), np.asarray(second))


@given(original=SIDES, size=TARGETS)
def test_the_plain_view_is_the_fitted_image(original: tuple[int, int], size: tuple[int, int]) -> None:
    image = noise(original)
    view = plain(original, size)
    assert same(show(image, view), fit(image, size))
    assert view.keepable


def test_without_augmentation_every_presentation_is_plain() -> None:
    assert {drawn(plan(), 0, p, (100, 70), (64, 64)) for p in range(50)} == {plain((100, 70), (64, 64))}


def test_flip_mirrors_half_of_the_presentations() -> None:
    straight = plain((101, 64), (64, 64))
    views = [drawn(plan(flip=True), 0, p, (101, 64), (64, 64)) for p in range(2000)]
    assert set(views) == {straight, mirrored(straight)}
    assert views.count(straight) / 2000 == pytest.approx(0.5, abs=0.03)
    image = noise((101, 64))
    array = np.asarray(show(image, straight))
    assert np.array_equal(np.asarray(show(image, mirrored(straight))), array[:, ::-1])


def test_a_mirrored_view_tells_where_the_mirror_image_was_cut() -> None:
    view = View((100, 64), (64, 64), (100, 64), left=10, top=0)
    assert mirrored(view).crop_top_left == (0, 26)
    assert mirrored(mirrored(view)) == view


def test_random_crops_reach_every_place_and_are_cut_there() -> None:
    image = noise((100, 64))
    views = [drawn(plan(random_crop=True), 0, p, (100, 64), (64, 64)) for p in range(3000)]
    assert {view.left for view in views} == set(range(37))
    assert {view.top for view in views} == {0}
    for view in views[:20]:
        assert same(show(image, view), image.crop((view.left, 0, view.left + 64, 64)))


def test_a_random_crop_of_what_fits_exactly_is_the_plain_view() -> None:
    view = drawn(plan(random_crop=True), 0, 3, (128, 128), (64, 64))
    assert view == plain((128, 128), (64, 64))
    assert view.keepable


@given(
    original=SIDES,
    size=TARGETS,
    degrees=st.floats(0.1, 45),
    zoom=st.floats(0, 0.5),
    crop=st.booleans(),
    presentation=st.integers(0, 500),
)
def test_turning_and_zooming_leave_no_empty_corner(
    original: tuple[int, int],
    size: tuple[int, int],
    degrees: float,
    zoom: float,
    crop: bool,
    presentation: int,
) -> None:
    """A white image stays white, while PIL fills with black what lies outside."""
    settings = plan(rotation_degrees=degrees, zoom=zoom, random_crop=crop, flip=True)
    view = drawn(settings, 0, presentation, original, size)
    shown = show(Image.new("RGB", original, "white"), view)
    assert shown.size == size
    assert np.asarray(shown).min() == 255
    assert abs(view.angle) <= degrees
    assert not view.keepable


def test_a_turn_is_by_its_angle_about_the_centre() -> None:
    array = np.zeros((200, 200, 3), dtype=np.uint8)
    array[60:70, 95:105] = 255
    view = next(
        found
        for found in (drawn(plan(rotation_degrees=30), 0, p, (200, 200), (100, 100)) for p in range(100))
        if 20 < found.angle < 30
    )
    shown = np.asarray(show(Image.fromarray(array), view))[:, :, 0].astype(float)
    rows, columns = np.mgrid[:100, :100]
    y, x = (float((grid * shown).sum() / shown.sum()) - 49.5 for grid in (rows, columns))
    assert np.degrees(np.arctan2(-x, -y)) == pytest.approx(view.angle, abs=1)


def test_zoom_scales_by_one_to_one_plus_zoom() -> None:
    widths = [drawn(plan(zoom=0.5), 0, p, (640, 640), (64, 64)).scaled[0] for p in range(500)]
    assert min(widths) >= 64
    assert max(widths) <= 96
    assert np.mean(widths) == pytest.approx(80, abs=1.5)


def test_colours_are_jittered_by_pillows_enhancers_within_the_strength() -> None:
    image = noise((64, 64))
    views = [drawn(plan(colour_jitter=0.2), 0, p, (64, 64), (64, 64)) for p in range(2000)]
    factors = np.array([view.colour for view in views])
    assert factors.min() >= 0.8
    assert factors.max() <= 1.2
    assert np.allclose(factors.mean(axis=0), 1, atol=0.02)
    brightness, contrast, saturation = views[0].colour
    wanted = ImageEnhance.Brightness(image).enhance(brightness)
    wanted = ImageEnhance.Color(ImageEnhance.Contrast(wanted).enhance(contrast)).enhance(saturation)
    assert same(show(image, views[0]), wanted)


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("rotation_degrees", lambda view: view.angle),
        ("colour_jitter", lambda view: view.colour[1] - 1),
    ],
)
def test_a_trial_with_twice_the_strength_is_changed_twice_as_much(
    name: str, read: Callable[[View], float]
) -> None:
    for p in range(20):
        weak, strong = (drawn(plan(**{name: value}), 0, p, (90, 70), (64, 64)) for value in (0.2, 0.4))
        assert read(strong) == pytest.approx(2 * read(weak))


def test_another_augmentation_does_not_change_which_presentations_are_flipped() -> None:
    for p in range(100):
        one, other = (
            drawn(plan(flip=True, **more), 3, p, (90, 70), (64, 64))
            for more in ({}, {"colour_jitter": 0.3, "random_crop": True, "rotation_degrees": 5})
        )
        assert one.flipped == other.flipped
