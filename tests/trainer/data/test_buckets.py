"""Aspect buckets against the known counts, and fitting by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from trainer.data.buckets import Size, buckets, cover, fit, nearest, own_size


@pytest.mark.parametrize(("resolution", "count"), [(512, 17), (768, 19), (1024, 25)])
def test_there_are_as_many_buckets_as_sd_scripts_makes(resolution: int, count: int) -> None:
    assert len(buckets(resolution, 256, 1024, 64)) == count


def test_the_buckets_of_512_include_the_known_ones() -> None:
    sizes = buckets(512, 256, 1024, 64)
    assert {(512, 512), (256, 1024), (1024, 256), (384, 640), (448, 576), (576, 448)} <= set(sizes)


@given(
    resolution=st.integers(64, 1024),
    shortest=st.sampled_from([64, 128, 256]),
    longest=st.sampled_from([512, 768, 1024]),
    step=st.sampled_from([8, 32, 64]),
)
def test_buckets_keep_to_area_grid_and_limits(
    resolution: int, shortest: int, longest: int, step: int
) -> None:
    sizes = buckets(resolution, shortest, longest, step)
    assert len(set(sizes)) == len(sizes)
    for width, height in sizes:
        assert width % step == height % step == 0
        assert width * height <= resolution**2
        assert (height, width) in sizes
        square = width == height == resolution // step * step
        assert square or (shortest <= min(width, height) and max(width, height) <= longest)


def test_the_nearest_bucket_is_that_of_the_nearest_shape() -> None:
    sizes = buckets(512, 256, 1024, 64)
    assert nearest((2000, 2000), sizes) == (512, 512)
    assert nearest((100, 400), sizes) == (256, 1024)
    assert nearest((4000, 1000), sizes) == (1024, 256)
    assert nearest((300, 500), sizes) == (384, 640)


@given(
    width=st.integers(1, 300),
    height=st.integers(1, 300),
    size=st.sampled_from([(64, 64), (96, 48), (32, 128)]),
)
def test_a_fitted_image_has_the_wanted_size(width: int, height: int, size: tuple[int, int]) -> None:
    assert fit(Image.new("RGB", (width, height), "red"), size).size == size


def test_fitting_covers_and_crops_the_centre() -> None:
    array = np.zeros((40, 120, 3), dtype=np.uint8)
    array[:, 40:80] = 255
    assert np.asarray(fit(Image.fromarray(array), (40, 40))).min() == 255
    tall = fit(Image.fromarray(array.transpose(1, 0, 2).copy()), (40, 40))
    assert np.asarray(tall).min() == 255


def test_an_image_of_the_right_size_is_untouched() -> None:
    array = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    assert np.array_equal(np.asarray(fit(Image.fromarray(array), (64, 48))), array)


@pytest.mark.parametrize(
    ("size", "wanted"),
    [
        ((300, 200), (256, 192)),
        ((512, 512), (512, 512)),
        ((511, 500), (448, 448)),
        ((1000, 700), (576, 384)),
        ((800, 600), (512, 384)),
        ((2048, 2048), (512, 512)),
        ((4000, 100), (2560, 64)),
    ],
)
def test_without_enlarging_a_bucket_follows_from_the_images_own_size(
    size: tuple[int, int], wanted: tuple[int, int]
) -> None:
    """At 512 squared and step 64; worked out by hand after sd-scripts' rule."""
    assert own_size(size, 512, 64) == wanted


@pytest.mark.parametrize(
    ("size", "resolution", "wanted"),
    [
        ((1645, 1644), 1024, (1024, 1024)),
        ((1023, 1025), 512, (512, 512)),
        ((1919, 1080), 768, (1024, 576)),
        ((777, 1331), 512, (384, 640)),
        ((2047, 1025), 1024, (1408, 704)),
        ((1365, 768), 1024, (1344, 768)),
        ((893, 1340), 512, (384, 576)),
    ],
)
def test_sides_are_rounded_half_up_before_they_are_cut(size: Size, resolution: int, wanted: Size) -> None:
    """As sd-scripts' buckets without enlarging (v0.9.1, step 64) make of these sizes."""
    assert own_size(size, resolution, 64) == wanted


@given(
    width=st.integers(64, 3000), height=st.integers(64, 3000), resolution=st.sampled_from([256, 512, 1024])
)
def test_no_image_is_enlarged_and_none_exceeds_the_area(width: int, height: int, resolution: int) -> None:
    try:
        found = own_size((width, height), resolution, 64)
    except ValueError:
        assert max(width, height) > resolution
        return
    assert found[0] % 64 == found[1] % 64 == 0
    assert found[0] * found[1] <= resolution**2
    assert cover((width, height), found)[0] <= width


def test_an_image_smaller_than_a_step_is_refused() -> None:
    with pytest.raises(ValueError, match="300 x 63 pixels are less than one bucket step of 64"):
        own_size((300, 63), 512, 64)
