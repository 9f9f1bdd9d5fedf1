"""Odd pictures, captions and folders."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from trainer.data.images import DataError, open_rgb, read


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three good images of distinct content in ``7_red_heart``."""
    images = tmp_path / "set" / "7_red_heart"
    images.mkdir(parents=True)
    for i in range(3):
        array = np.random.default_rng(i).integers(0, 256, (32, 48, 3), dtype=np.uint8)
        Image.fromarray(array).save(images / f"{i}.png")
        (images / f"{i}.txt").write_text(f"caption {i}", encoding="utf-8")
    return tmp_path / "set"


def problems_of(folder: Path) -> list[str]:
    with pytest.raises(DataError) as caught:
        read([folder])
    return caught.value.problems


def test_a_good_folder_is_read_in_path_order(folder: Path) -> None:
    reading = read([folder])
    assert [example.path.name for example in reading.examples] == ["0.png", "1.png", "2.png"]
    assert [example.caption for example in reading.examples] == ["caption 0", "caption 1", "caption 2"]
    assert {example.repeats for example in reading.examples} == {7}
    assert {example.size for example in reading.examples} == {(48, 32)}
    for example in reading.examples:
        assert example.content == hashlib.sha256(example.path.read_bytes()).hexdigest()
    assert reading.warnings == ()


def test_class_words_stand_in_for_a_missing_caption(folder: Path) -> None:
    (folder / "7_red_heart" / "1.txt").unlink()
    assert read([folder]).examples[1].caption == "red heart"


def test_an_empty_caption_is_a_warning(folder: Path) -> None:
    (folder / "7_red_heart" / "1.txt").write_text(" \n")
    reading = read([folder])
    assert reading.examples[1].caption == ""
    (warning,) = reading.warnings
    assert "1.txt" in warning


def test_captions_lose_byte_order_mark_and_line_breaks(folder: Path) -> None:
    (folder / "7_red_heart" / "1.txt").write_bytes("\ufeff红心,\r\n a  heart\n".encode())
    assert read([folder]).examples[1].caption == "红心, a heart"


def test_hidden_files_and_other_suffixes_are_passed_over(folder: Path) -> None:
    (folder / "7_red_heart" / "._0.png").write_bytes(b"finder")
    (folder / "7_red_heart" / "notes.md").write_text("x")
    (folder / ".cache").mkdir()
    assert len(read([folder]).examples) == 3


def test_every_problem_is_told_at_once_with_its_file(folder: Path) -> None:
    images = folder / "7_red_heart"
    (images / "broken.png").write_bytes(b"this is no picture")
    (images / "cut.png").write_bytes((images / "0.png").read_bytes()[:900])
    (images / "zero.jpg").write_bytes(b"")
    (images / "2.txt").write_bytes("Herz, schön".encode("latin-1"))
    (folder / "loose.png").write_bytes((images / "0.png").read_bytes())
    for name in ("hearts", "0_zero", "1.5_half", "_none", "x_y"):
        (folder / name).mkdir()
        (folder / name / "a.png").write_bytes((images / "0.png").read_bytes())
    (folder / "3_empty").mkdir()
    problems = problems_of(folder)
    for words in (
        ("broken.png", "cannot be read"),
        ("cut.png", "cannot be read"),
        ("zero.jpg", "empty (0 bytes)"),
        ("2.txt", "not UTF-8 (byte 9)"),
        ("loose.png", "outside a folder named N_name"),
        ("hearts", "N_name"),
        ("0_zero", "N >= 1"),
        ("1.5_half", "whole number"),
        ("_none", "N_name"),
        ("x_y", "N_name"),
        ("3_empty", "no image"),
    ):
        assert [problem for problem in problems if all(word in problem for word in words)], words
    assert len(problems) == 11


def test_fewer_than_three_images_are_too_few(folder: Path) -> None:
    (folder / "7_red_heart" / "2.png").unlink()
    (problem,) = problems_of(folder)
    assert "2 image(s) found" in problem
    assert "at least 3" in problem


def test_a_missing_folder_is_told(tmp_path: Path) -> None:
    (problem,) = problems_of(tmp_path / "nowhere")
    assert "nowhere: there is no such image folder" in problem


def picture(mode: str) -> Image.Image:
    """Left half red, right half blue, as far as the mode can say it."""
    image = Image.new("RGB", (8, 4), (255, 0, 0))
    image.paste((0, 0, 255), (4, 0, 8, 4))
    return image.convert(mode)


def test_cmyk_becomes_rgb(tmp_path: Path) -> None:
    picture("CMYK").save(tmp_path / "a.tif")
    found = open_rgb(tmp_path / "a.tif")
    assert (found.mode, found.getpixel((0, 0)), found.getpixel((7, 3))) == ("RGB", (255, 0, 0), (0, 0, 255))


def test_alpha_is_laid_over_white(tmp_path: Path) -> None:
    image = picture("RGBA")
    image.putpixel((0, 0), (0, 0, 0, 0))
    image.putpixel((1, 0), (0, 0, 0, 128))
    image.save(tmp_path / "a.png")
    found = open_rgb(tmp_path / "a.png")
    assert found.getpixel((0, 0)) == (255, 255, 255)
    assert found.getpixel((1, 0)) == (127, 127, 127)
    assert found.getpixel((7, 3)) == (0, 0, 255)


def test_a_transparent_palette_colour_is_white(tmp_path: Path) -> None:
    image = Image.new("P", (4, 4), 1)
    image.putpalette([255, 0, 0, 0, 255, 0])
    image.putpixel((0, 0), 0)
    image.save(tmp_path / "a.png", transparency=0)
    found = open_rgb(tmp_path / "a.png")
    assert (found.getpixel((0, 0)), found.getpixel((3, 3))) == ((255, 255, 255), (0, 255, 0))


def test_a_transparent_rgb_colour_is_white(tmp_path: Path) -> None:
    picture("RGB").save(tmp_path / "a.png", transparency=(255, 0, 0))
    assert open_rgb(tmp_path / "a.png").getpixel((0, 0)) == (255, 255, 255)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA"])
def test_any_mode_becomes_rgb(tmp_path: Path, mode: str) -> None:
    picture(mode).save(tmp_path / "a.png")
    assert open_rgb(tmp_path / "a.png").mode == "RGB"


def test_sixteen_bit_grey_keeps_its_shades(tmp_path: Path) -> None:
    ramp = np.linspace(0, 65535, 256).astype(np.uint16).reshape(16, 16)
    Image.fromarray(ramp).save(tmp_path / "a.png")
    found = np.asarray(open_rgb(tmp_path / "a.png"))[:, :, 0].ravel().astype(int)
    assert np.abs(found - np.arange(256)).max() <= 1


@pytest.mark.parametrize(("orientation", "corner"), [(1, (0, 0)), (3, (7, 3)), (6, (3, 0)), (8, (0, 7))])
def test_exif_rotation_is_applied(tmp_path: Path, orientation: int, corner: tuple[int, int]) -> None:
    """Where the stored top left pixel is seen (EXIF 2.3, tag 274)."""
    image = Image.new("RGB", (8, 4), "black")
    image.putpixel((0, 0), (255, 255, 255))
    exif = Image.Exif()
    exif[274] = orientation
    image.save(tmp_path / "a.png", exif=exif)
    found = open_rgb(tmp_path / "a.png")
    assert found.size == ((8, 4) if orientation in (1, 3) else (4, 8))
    assert found.getpixel(corner) == (255, 255, 255)


def test_an_image_bomb_is_a_problem_not_a_crash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    picture("RGB").save(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    with pytest.raises(DataError, match="decompression bomb"):
        open_rgb(tmp_path / "a.png")
