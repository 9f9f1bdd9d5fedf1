"""Small studies on the shipped micro models."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

ASSETS = Path(__file__).resolve().parents[2] / "studies" / "library" / "assets"

StudyMaker = Callable[..., Path]

TEXT = """\
[study]
name = "small"
seed = 5
[plan.base]
path = "{assets}/micro-sd"
[plan.data]
folder = "images"
resolution = 64
[budget]
trials = {trials}
images_per_trial = {images}
[search]
sampler = "{sampler}"
pruner = {{ name = "{pruner}", min_images = 16, reduction_factor = 2 }}
[search.space]
"optimiser.unet_lr" = {{ low = 1e-4, high = 3e-2, log = true }}
"optimiser.name" = {{ choices = ["adamw", "lion"] }}
"lora.rank" = {{ choices = [2, 4] }}
"lora.text_encoder" = {{ choices = [true, false] }}
"data.batch_size" = {{ choices = [1, 2] }}
"data.repeats" = {{ choices = [1, 2] }}
[split]
folds = 0
[judge]
clip = "{assets}/micro-clip"
prompt_count = 2
steps = 3
timesteps = 3
seen_images = 1
[confirm]
finalists = 3
timesteps = 4
seeds_per_prompt = 1
[pack]
size = 3
"""


def write_study(
    folder: Path, trials: int = 4, images: int = 32, sampler: str = "random", pruner: str = "none"
) -> Path:
    """Writes a study file over 12 images of the demonstration set into ``folder`` and gives its path."""
    pictures = folder / "images" / "2_fluent"
    if not pictures.exists():
        pictures.mkdir(parents=True)
        for picture in sorted((ASSETS / "demo").glob("*_*/*.png"))[:12]:
            shutil.copy(picture, pictures)
            shutil.copy(picture.with_suffix(".txt"), pictures)
    path = folder / "small.toml"
    path.write_text(TEXT.format(assets=ASSETS, trials=trials, images=images, sampler=sampler, pruner=pruner))
    return path


@pytest.fixture
def small_study(tmp_path: Path) -> StudyMaker:
    """``write_study`` in a folder of the test's own."""
    return partial(write_study, tmp_path)
