"""Aspect buckets against the known counts, and fitting by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from trainer.data.buckets import buckets, fit, nearest


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
