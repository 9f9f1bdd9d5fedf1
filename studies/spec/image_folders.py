"""Image folders as people have them: with ``N_name`` sub-folders, or the images just so."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from trainer.data.listing import image_files
from trainer.plans.data import DataPlan

BUCKETS_FROM = 256
"""Pixels of the training square from which on aspect buckets are used."""


def is_flat(folder: Path) -> bool:
    """Whether a folder holds images itself, and no folders with images below it."""
    if not folder.is_dir() or not image_files(folder):
        return False
    return not any(image_files(child) for child in folder.iterdir() if child.is_dir())


def concept(folder: Path, repeats: int = 1) -> dict[str, Any]:
    """A flat folder as an entry of a concepts list."""
    return {"instance_data_dir": str(folder.resolve()), "num_repeats": repeats}


@contextmanager
def data_plan(folders: Sequence[Path], resolution: int) -> Iterator[DataPlan]:
    """The plan that reads folders of either kind; a listing of flat ones exists inside the block only.

    Args:
        folders: in the order in which their images are numbered: flat ones come last.
        resolution: side of the square in pixels.
    """
    flat = [folder for folder in folders if is_flat(folder)]
    named = [folder for folder in folders if folder not in flat]
    with tempfile.TemporaryDirectory() as scratch:
        listing = Path(scratch) / "concepts.json"
        if flat:
            listing.write_text(json.dumps([concept(folder) for folder in flat]), encoding="utf-8")
        yield DataPlan(
            folders=tuple(named),
            concepts=listing if flat else None,
            resolution=resolution,
            **buckets(resolution),
        )


def buckets(resolution: int) -> dict[str, Any]:
    """Aspect buckets that fit a resolution; none for tiny ones."""
    if resolution < BUCKETS_FROM:
        return {}
    return {
        "enable_bucket": True,
        "min_bucket_reso": max(64, resolution // 2 // 64 * 64),
        "max_bucket_reso": max(1024, 2 * resolution),
    }
