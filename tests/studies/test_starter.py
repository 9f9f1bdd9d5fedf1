"""First study files: fitted, commented, and right as they are."""

from __future__ import annotations

import shutil
import tomllib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from studies import tailoring
from studies.problems import StudyError
from studies.starter import family_of, start, survey_base, text
from studies.study import examine
from studies.survey import Survey, trigger
from studies.tailoring import Ground

Filled = Callable[..., Path]


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


def survey(count: int, side: int = 600, **facts: object) -> Survey:
    found = Survey(
        folder=Path("/images/cat"),
        flat=False,
        images=count + 6,
        cards=count,
        train=count,
        sizes=((side, side),) * (count + 6),
        captions=("sks, dog",) * (count + 6),
        captioned=count + 6,
        held_out=("sks, dog",),
        warnings=(),
    )
    return replace(found, **facts)  # type: ignore[arg-type]


SD1 = Ground("/sd15", "sd1", 512, 64, cuda=True)
SDXL = Ground("/sdxl", "sdxl", 1024, 32, cuda=True)


def test_the_file_for_the_demonstration_set_passes_check_unchanged(
    assets: Path, demo_folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "made.toml"
    started = start(demo_folder, str(assets / "micro-sd"), str(assets / "micro-clip"), out, 5)
    spec, dataset = examine(out)
    assert (started.survey.trigger, started.resolution) == ("fluentflat", 64)
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


@pytest.mark.parametrize(
    ("train", "repeats", "horizon", "batches"),
    [(10, 15, 1500, (1,)), (15, 10, 1500, (1,)), (16, 10, 1600, (1, 2)), (42, 10, 4200, (1, 2, 4))],
)
def test_repeats_and_horizon_follow_the_guides(
    train: int, repeats: int, horizon: int, batches: tuple[int, ...]
) -> None:
    """At least 100 steps an image and 1,500 in all over ten epochs of batch 1, computed by hand."""
    found = survey(train)
    lines = {line.key: line.value for line in tailoring.data(found, SD1, tailoring.Line("folder", "x", ""))}
    assert (lines["repeats"], tailoring.images_per_trial(found)) == (repeats, horizon)
    assert tailoring.batches(found) == batches


@pytest.mark.parametrize(
    ("ground", "side", "expected"),
    [
        (SD1, 900, 512),
        (SD1, 420, 512),
        (SD1, 400, 384),
        (SD1, 100, 256),
        (SDXL, 1500, 1024),
        (SDXL, 700, 672),
    ],
)
def test_the_training_size_is_the_familys_unless_images_are_smaller(
    ground: Ground, side: int, expected: int
) -> None:
    assert tailoring.resolution(survey(20, side), ground).value == expected


def test_buckets_are_for_images_that_are_not_square() -> None:
    place = tailoring.Line("folder", "x", "")

    def lines(found: Survey) -> dict[str, object]:
        return {line.key: line.value for line in tailoring.data(found, SDXL, place)}

    assert lines(survey(20, 1100))["enable_bucket"] is False
    mixed = lines(survey(20, 1100, sizes=((1200, 1600),) * 26))
    assert mixed["enable_bucket"] is True
    assert (mixed["min_bucket_reso"], mixed["max_bucket_reso"]) == (512, 2048)


def test_tag_lists_are_shuffled_behind_the_trigger_and_sentences_are_not() -> None:
    place = tailoring.Line("folder", "x", "")
    tagged = survey(20, captions=("sks, girl, smile, park, hat",) * 26)
    keys = [line.key for line in tailoring.data(tagged, SD1, place)]
    assert "keep_tokens" in keys and "keep_tokens" not in [
        line.key for line in tailoring.data(survey(20), SD1, place)
    ]


def test_the_machine_decides_precision_and_eight_bit_optimisers() -> None:
    cpu = replace(SD1, cuda=False)
    assert [line.value for line in tailoring.compute(cpu)] == ["no"]
    assert [line.value for line in tailoring.compute(SD1)] == ["bf16", True]
    chosen = {g: tailoring.space(survey(20), g)[0].value["choices"][0] for g in (cpu, SD1)}
    assert chosen == {cpu: "adamw", SD1: "adamw8bit"}


@pytest.mark.parametrize("ground", [SD1, SDXL, replace(SD1, cuda=False)])
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


@pytest.mark.parametrize(
    ("captions", "expected"),
    [
        (["sks, a", "sks, b", "cat"], "sks"),
        (["a", "b", "c"], None),
        (["", "", "x"], None),
        (["x" * 61 + ", b"] * 3, None),
    ],
)
def test_the_trigger_is_the_commonest_first_tag(captions: list[str], expected: str | None) -> None:
    assert trigger(captions) == expected


def test_a_hub_name_tells_its_family_and_is_not_fetched() -> None:
    assert family_of("stabilityai/stable-diffusion-xl-base-1.0") == "sdxl"
    assert family_of("stabilityai/stable-diffusion-2-1") == "sd2"
    ground, guessed = survey_base("stable-diffusion-v1-5/stable-diffusion-v1-5")
    assert (ground.family, ground.side, guessed) == ("sd1", 512, True)


def test_a_base_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="--base: "):
        survey_base(str(tmp_path / "nothing.safetensors"))
