"""``lorasearch caption`` with a tiny model."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from tests.studies.cli.conftest import Run
from tests.trainer.bases.test_captioner import make_captioner


@pytest.fixture(scope="module")
def model(assets: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_captioner(assets, tmp_path_factory.mktemp("captioner"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two images below ``10_x``, one of them captioned, and one in the folder itself."""
    (tmp_path / "images" / "10_x").mkdir(parents=True)
    for name, colour in (("a.png", "red"), ("10_x/b.png", "green"), ("10_x/c.png", "blue")):
        Image.new("RGB", (20, 30), colour).save(tmp_path / "images" / name)
    (tmp_path / "images" / "10_x" / "b.txt").write_text("my own words")
    return tmp_path / "images"


def test_missing_captions_are_written_trigger_first_and_none_is_overwritten(
    folder: Path, model: Path, run: Run
) -> None:
    code, out, err = run("caption", folder, "--model", model, "--trigger", "sks cat")
    assert code == 0
    assert "error" not in err
    assert (folder / "10_x" / "b.txt").read_text() == "my own words"
    for name in ("a.txt", "10_x/c.txt"):
        text = (folder / name).read_text()
        assert text.startswith("sks cat")
        assert f"{folder / name}: {text.strip()}" in out
    assert len(out.splitlines()) == 2
    assert run("caption", folder, "--model", "unused") == (0, "Every image has a caption.\n", "")


def test_a_broken_image_is_told_after_the_others_were_captioned(folder: Path, model: Path, run: Run) -> None:
    (folder / "0.png").write_bytes(b"no picture")
    code, _, err = run("caption", folder, "--model", model)
    assert code == 2
    assert "0.png: this image cannot be read" in err
    assert (folder / "a.txt").exists()
    assert not (folder / "0.txt").exists()


def test_without_model_and_network_one_sentence_is_said(folder: Path, run: Run) -> None:
    code, out, err = run("caption", folder)
    assert (code, out) == (2, "")
    assert err.count("error: ") == 1
    assert "neither in the hub cache nor could it be fetched" in err


def test_a_folder_that_is_not_there_or_empty_is_told(tmp_path: Path, run: Run) -> None:
    assert "there is no such image folder" in run("caption", tmp_path / "none")[2]
    assert "holds an image" in run("caption", tmp_path)[2]
