"""Folders with and without ``N_name`` sub-folders."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from studies.spec.image_folders import buckets, data_plan, is_flat
from trainer.data import dataset
from trainer.data.buckets import buckets as sizes


def test_a_flat_folder_is_read_beside_one_with_sub_folders(few_folder: Path, tmp_path: Path) -> None:
    flat = tmp_path / "flat"
    shutil.copytree(few_folder / "1_fluent", flat)
    assert is_flat(flat) and not is_flat(few_folder) and not is_flat(tmp_path / "none")
    for one in sorted(flat.glob("*.png"))[:5]:
        one.unlink()
    with data_plan([flat, few_folder], 64) as plan:
        examples = dataset.read(plan, (0.2, 0.2), 0).examples
        listing = plan.concepts
    assert len(examples) == 9 + 4
    assert [example.path.parent for example in examples[-4:]] == [flat] * 4, "flat ones come last"
    assert listing is not None and not listing.exists()


@pytest.mark.parametrize(("side", "count"), [(512, 17), (1024, 17)])
def test_buckets_grow_with_the_resolution(side: int, count: int) -> None:
    """17 buckets at 512 pixels, as everywhere; SDXL has the same shapes at twice the size, and those between."""
    found = buckets(side)
    made = sizes(side, found["min_bucket_reso"], found["max_bucket_reso"], 64)
    assert len(made) >= count and all(w * h <= side * side for w, h in made)
    assert len(made) == 17 or side == 1024
    assert buckets(64) == {}
