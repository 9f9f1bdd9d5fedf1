"""Pictures that a trainer rendered are judged without its files."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image, ImageFilter, ImageOps

from tests.studies.cli.conftest import Run
from tests.studies.conftest import ASSETS

CLIP = str(ASSETS / "micro-clip")


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Training images, and samples of four prompts that come nearer to their style at steps 0, 250 and 500.

    The last ones are other pictures of the set itself, the first ones their blurred negatives.
    """
    pictures = sorted((ASSETS / "demo").glob("*_*/*.png"))
    data, samples = tmp_path / "train" / "1_fluentflat", tmp_path / "samples"
    data.mkdir(parents=True)
    samples.mkdir()
    for picture in pictures[:30]:
        shutil.copy(picture, data)
        shutil.copy(picture.with_suffix(".txt"), data)
    for prompt, picture in enumerate(pictures[40:46]):
        for step, shown in zip((0, 250, 500), stages(picture), strict=True):
            shown.save(samples / f"1764500000000__{step:09d}_{prompt}.png")
    return data.parent, samples


def stages(picture: Path) -> Iterator[Image.Image]:
    image = Image.open(picture).convert("RGB")
    yield ImageOps.invert(image).filter(ImageFilter.GaussianBlur(8))
    yield Image.blend(image, ImageOps.invert(image), 0.3).filter(ImageFilter.GaussianBlur(2))
    yield image


def test_the_checkpoint_whose_pictures_are_nearest_is_best(
    folders: tuple[Path, Path], run: Run, tmp_path: Path
) -> None:
    data, samples = folders
    words = ("judge", "--samples", samples, "--data", data, "--clip", CLIP, "--out", tmp_path / "out")
    code, out, err = run(*words)
    assert code == 0, err
    assert "Use step 500; the next best, step 250, is" in out
    assert "Validation loss is missing" in out
    told = json.loads((tmp_path / "out" / "samples.json").read_text())
    assert told["best"] == 500 and [one["number"] for one in told["checkpoints"]] == [0, 250, 500]
    first, middle, last = (one["objective"]["mean"] for one in told["checkpoints"])
    assert first == 0 < middle < last
    styles = [one["metrics"]["style"]["mean"] for one in told["checkpoints"]]
    assert styles == sorted(styles, reverse=True)
    page = (tmp_path / "out" / "report.html").read_text()
    assert page.count("data:image/") == 3 * 6 + 4 and 'id="viewer"' in page
    assert json.loads(run(*words, "--json")[1]) == told


def test_pictures_that_are_alike_cannot_be_told_apart(
    folders: tuple[Path, Path], run: Run, tmp_path: Path
) -> None:
    data, samples = folders
    for picture in samples.glob("*__000000500_*.png"):
        shutil.copy(picture, picture.with_name(picture.name.replace("000000500", "000000750")))
    code, out, _ = run(
        "judge", "--samples", samples, "--data", data, "--clip", CLIP, "--out", tmp_path / "out"
    )
    assert code == 0
    assert "Cannot tell step 500 from step 750" in out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--samples", "gone", "--clip", CLIP), "--samples: gone: there is no such folder."),
        (("--samples", "empty", "--clip", CLIP), "at least 2 with 1 are needed; names such as cat_e000003"),
        (("--samples", "samples"), "--samples needs --clip"),
        (
            ("--samples", "samples", "--clip", "nowhere/at/all"),
            "--clip: nowhere/at/all: there is no such folder",
        ),
        (("a.safetensors", "--samples", "samples", "--clip", CLIP), "--samples takes the place of files"),
        ((), "Give LoRA files and --base, or --samples"),
        (("a.safetensors",), "Give LoRA files and --base, or --samples"),
    ],
)
def test_what_cannot_be_judged_is_told(
    folders: tuple[Path, Path], run: Run, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], told: str
) -> None:
    data, samples = folders
    monkeypatch.chdir(samples.parent)
    (samples.parent / "empty").mkdir()
    code, _, err = run("judge", *words, "--data", data)
    assert code == 2
    assert told in " ".join(err.split())
