"""First study files: fitted, commented, and right as they are."""

from __future__ import annotations

import shutil
import tomllib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from studies.commands.init import start, text
from studies.commands.init_choices import Ground
from studies.commands.init_ground import survey_base
from studies.errors import StudyError
from studies.study.preflight import examine
from tests.bases import build_chroma, build_flux, build_krea2, build_sd3, build_zimage
from tests.studies.commands.test_init_choices import SD1, SDXL, survey
from trainer.bases.families import FAMILIES

Filled = Callable[..., Path]
FLOWS = [Ground(f"/{name}", family, 1024, 16, cuda=True) for name, family in FAMILIES.items() if family.flows]


@pytest.fixture
def filled(tmp_path: Path) -> Filled:
    """``filled(count, size=(64, 64))``: a flat folder of different pictures."""

    def make(count: int, size: tuple[int, int] = (64, 64), tags: str = "sks, dog {}") -> Path:
        folder = tmp_path / "My cat!"
        folder.mkdir()
        for i in range(count):
            picture = Image.effect_noise(size, 90).convert("RGB")
            picture.paste((i * 37 % 256, i * 91 % 256, i * 17 % 256), (0, 0, size[0] // 2, size[1]))
            picture.save(folder / f"{i:02}.png")
            (folder / f"{i:02}.txt").write_text(tags.format(i))
        return folder

    return make


def test_the_file_for_the_demonstration_set_passes_check_unchanged(
    assets: Path, demo_folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "made.toml"
    started = start(demo_folder, str(assets / "micro-sd"), str(assets / "micro-clip"), out, 5)
    spec, dataset = examine(out)
    assert started.survey.trigger is not None
    assert (started.survey.trigger.words, started.resolution) == ("fluentflat", 64)
    assert spec.budget.gpu_seconds == 300 and spec.budget.trials is None
    assert spec.budget.images_per_trial == 100 * len(dataset.split.train) == 4200
    assert len(spec.first) == 2 and len(dataset.examples) == 60


def test_a_flat_folder_passes_check_too_by_a_listing_beside_the_file(
    assets: Path, filled: Filled, tmp_path: Path
) -> None:
    folder, out = filled(11), tmp_path / "studies" / "cat.toml"
    start(folder, str(assets / "micro-sd"), "openai/clip-vit-large-patch14", out, None)
    spec, dataset = examine(out)
    assert spec.study.name == "My-cat" or spec.study.name.startswith("My")
    assert len(dataset.examples) == 11
    assert dataset.examples[0].caption.startswith("sks, dog")
    assert spec.plan["data"]["batch_size"] == 1 and "data.batch_size" not in spec.search.space


def test_nothing_is_overwritten(assets: Path, filled: Filled, tmp_path: Path) -> None:
    folder, out = filled(5), tmp_path / "cat.toml"
    out.write_text("mine")
    with pytest.raises(StudyError, match="not overwritten"):
        start(folder, str(assets / "micro-sd"), "a/b", out, None)
    assert out.read_text() == "mine" and not out.with_suffix(".concepts.json").exists()
    shutil.move(out, out.with_suffix(".concepts.json"))
    with pytest.raises(StudyError, match=r"concepts\.json: there is a file already"):
        start(folder, str(assets / "micro-sd"), "a/b", out, None)


@pytest.mark.parametrize("ground", [SD1, SDXL, replace(SD1, cuda=False), *FLOWS])
def test_every_line_is_explained(ground: Ground) -> None:
    said = text(survey(20), ground, "a/b", Path("/studies/x.toml"), None, None)
    table = tomllib.loads(said)
    assert table["study"]["name"] == "cat"
    lines = said.splitlines()
    recipes = False
    for before, line in zip(["", *lines], lines, strict=False):
        recipes = line == "[[first]]" if line.startswith("[") else recipes
        if " = " in line and not line.startswith("#") and not recipes:
            assert "  # " in line or before.startswith("# "), line


@pytest.mark.parametrize("build", [build_sd3, build_flux, build_zimage, build_krea2, build_chroma])
def test_the_file_for_a_flow_matching_base_passes_check_unchanged(
    build: Callable[[Path, Path], Path], assets: Path, demo_folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "made.toml"
    base = build(tmp_path / "base", assets / "micro-sd")
    start(demo_folder, str(base), str(assets / "micro-clip"), out, 5)
    spec, _ = examine(out)
    assert {"noise.timestep_shift", "noise.timestep_density", "lora.layers"} <= set(spec.search.space)
    assert not {"noise.min_snr_gamma", "noise.offset", "lora.text_encoder"} & set(spec.search.space)
    assert {recipe["lora.layers"] for recipe in spec.first} == {"default", "all"}
    assert spec.objective == {"validation": 1.0} and spec.judge.subject == "style"


@pytest.mark.parametrize(
    ("captions", "kind", "called"),
    [
        (("a photo of sks dog in snow", "sks dog at home", "sks dog asleep"), "object", "sks dog"),
        (("wtrclr, a boat", "wtrclr, two cats", "wtrclr, a house"), "style", None),
    ],
)
def test_what_calls_the_subject_is_written_for_prompts_outside_the_data_set(
    captions: tuple[str, ...], kind: str, called: str | None
) -> None:
    found = replace(survey(20), captions=captions)
    judge = tomllib.loads(text(found, SD1, "a/b", Path("/studies/x.toml"), None, None))["judge"]
    assert (judge["subject"], judge.get("trigger")) == (kind, called)


def test_a_distilled_base_is_rendered_as_its_name_says() -> None:
    turbo = Ground("Tongyi-MAI/Z-Image-Turbo", FAMILIES["zimage"], 1024, 16, cuda=True)
    said = tomllib.loads(text(survey(20), turbo, "a/b", Path("/studies/x.toml"), None, None))["judge"]
    assert (said["steps"], said["guidance"]) == (8, 1.0)
    raw = replace(turbo, told_distilled=False)
    said = tomllib.loads(text(survey(20), raw, "a/b", Path("/studies/x.toml"), None, None))["judge"]
    assert "guidance" not in said
    dev = Ground("black-forest-labs/FLUX.1-dev", FAMILIES["flux"], 1024, 16, cuda=True)
    said = tomllib.loads(text(survey(20), dev, "a/b", Path("/studies/x.toml"), None, None))["judge"]
    assert said["guidance"] == 3.5


def test_a_hub_name_tells_its_family_and_is_not_fetched() -> None:
    ground, guessed = survey_base("stable-diffusion-v1-5/stable-diffusion-v1-5")
    assert (ground.family.name, ground.side, ground.step, guessed) == ("sd1", 512, 64, True)


def test_a_base_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="--base: "):
        survey_base(str(tmp_path / "nothing.safetensors"))
