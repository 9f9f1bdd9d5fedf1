"""Real studies whose answer is known: nothing to learn, and recipes that are equal."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from studies.commands.export import best_file
from studies.engines.inline import open_worker
from studies.errors import StudyError
from studies.runner.progress import Listener
from studies.runner.runner import Runner
from studies.selection.document import Selection
from studies.study import beginning
from studies.study.open import open_readonly
from tests.studies.conftest import ASSETS

TEXT = """
[study]
name = "planted"
seed = 3
[plan.base]
path = "{assets}/micro-sd"
[plan.data]
folder = "images"
resolution = 64
repeats = 14
[split]
validation = 0.25
test = 0.25
[budget]
trials = 2
images_per_trial = 336
[search]
sampler = "random"
pruner = {{ name = "none" }}
[search.space]
"optimiser.unet_lr" = {{ low = 1e-4, high = 2e-3, log = true }}
[[first]]
"optimiser.unet_lr" = {first}
[[first]]
"optimiser.unet_lr" = {second}
[judge]
clip = "{assets}/micro-clip"
steps = 6
outside_prompt_count = 0
[confirm]
outside_prompt_count = 0
[guards]
memorisation = "off"
[pack]
size = 2
"""
KNOWN = (
    "banana cactus crown fox frog guitar house key lion octopus owl panda penguin pizza rocket rose snail turtle "
    "whale bus bread umbrella"
)


def chosen(folder: Path, rates: tuple[float, float]) -> Selection:
    path = folder / "study.toml"
    path.write_text(TEXT.format(assets=ASSETS, first=rates[0], second=rates[1]))
    opened = beginning.begin(path, folder / "workspace")
    worker = open_worker(opened.spec, opened.workspace, opened.dataset, opened.seed, lambda *_: None)
    worker.limit_pack(2)
    return Runner(opened, worker, Listener()).run()


def test_where_there_is_nothing_to_learn_nothing_beats_the_base_model(tmp_path: Path) -> None:
    pictures = tmp_path / "images" / "1_noto"
    pictures.mkdir(parents=True)
    draw_with_the_base(pictures, [f"{word}, noto style" for word in KNOWN.split()])
    selection = chosen(tmp_path, (3e-4, 1e-3))
    assert selection.refused
    assert selection.answers[0].code in {"worse_than_base", "not_above_base"}
    assert selection.summary.startswith("Nothing")
    study = open_readonly(tmp_path / "workspace")
    with pytest.raises(StudyError, match=r"Nothing .*beats the base model.*--anyway"):
        best_file(study)
    assert best_file(study, anyway=True).exists()


def draw_with_the_base(folder: Path, captions: list[str]) -> None:
    """What the base model draws anyway."""
    from diffusers import StableDiffusionPipeline

    pipeline = StableDiffusionPipeline.from_pretrained(ASSETS / "micro-sd", dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    generator = torch.Generator().manual_seed(0)
    found = pipeline(captions, num_inference_steps=12, height=64, width=64, generator=generator).images
    for caption, picture in zip(captions, found, strict=True):
        stem = caption.split(",")[0]
        picture.save(folder / f"{stem}.png")
        (folder / f"{stem}.txt").write_text(caption)


def test_equal_recipes_cannot_be_told_apart(tmp_path: Path) -> None:
    pictures = tmp_path / "images" / "1_fluent"
    pictures.mkdir(parents=True)
    for picture in sorted((ASSETS / "demo").glob("*_*/*.png"))[:20]:
        shutil.copy(picture, pictures)
        shutil.copy(picture.with_suffix(".txt"), pictures)
    selection = chosen(tmp_path, (1e-3, 1.02e-3))
    doubts = [one for one in selection.answers if one.code in {"cannot_tell", "cannot_ever_tell"}]
    assert len(doubts) == 1 and doubts[0].values["rivals"] == 2
    assert "Cannot tell whether anything beats the study file's own recipe" in selection.summary
    assert "2 trials differ by no more than noise" in selection.summary
