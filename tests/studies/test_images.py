from __future__ import annotations

import base64
import io
from pathlib import Path

import torch
from PIL import Image

from studies import images
from studies.images import MOST, PROBLEM_TILE, problem_sheet, save_png, sheet, strip


def opened(uri: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2])))


def test_a_strip_is_cut_from_left_to_right(tmp_path: Path) -> None:
    strip = Image.new("RGB", (30, 10))
    for i, colour in enumerate(("red", "green", "blue")):
        strip.paste(colour, (10 * i, 0, 10 * i + 10, 10))
    strip.save(tmp_path / "strip.png")
    found = [opened(uri) for uri in images.tiles(tmp_path / "strip.png", 3)]
    assert [image.size for image in found] == [(10, 10)] * 3
    assert [image.getpixel((5, 5)) for image in found] == [(255, 0, 0), (0, 128, 0), (0, 0, 255)]


def test_large_renders_are_scaled_down_to_jpeg() -> None:
    uri = images.data_uri(Image.new("RGB", (1024, 512), "red"))
    assert uri.startswith("data:image/jpeg;base64,")
    assert opened(uri).size == (images.LARGEST, images.LARGEST // 2)


def test_no_strip_no_pictures(tmp_path: Path) -> None:
    assert images.tiles(tmp_path / "missing.png", 3) == []


def test_the_sheet_shows_each_picture_and_grey_for_the_broken(demo_folder: Path, tmp_path: Path) -> None:
    image = sorted(demo_folder.glob("*/*.png"))[0]
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    sheet = problem_sheet({image: ["blurred"], broken: ["cannot be read"]})
    middle = 14 + PROBLEM_TILE // 2
    assert sheet.getpixel((middle + PROBLEM_TILE + 14, middle)) == (0xC9, 0xC9, 0xC9)
    with Image.open(image) as shown:
        wanted = shown.convert("RGB").resize((PROBLEM_TILE, PROBLEM_TILE), Image.Resampling.NEAREST)
    assert sheet.crop((14, 14, 14 + PROBLEM_TILE, 14 + PROBLEM_TILE)).tobytes() == wanted.tobytes()
    below = sheet.crop((14, 14 + PROBLEM_TILE, 14 + PROBLEM_TILE, sheet.height))
    assert len(set(below.get_flattened_data())) > 2, "something is written there"


def test_a_large_sheet_says_how_many_more_there_are() -> None:
    few = problem_sheet({Path(f"{i}.png"): ["x"] for i in range(MOST)})
    many = problem_sheet({Path(f"{i}.png"): ["x"] for i in range(MOST + 5)})
    assert many.width == few.width and 0 < many.height - few.height < PROBLEM_TILE


def test_a_strip_shows_the_pictures_side_by_side():
    pictures = torch.stack([torch.zeros(3, 4, 5), torch.ones(3, 4, 5)])
    image = strip(pictures)
    assert image.size == (10, 4)
    assert image.getpixel((0, 0)) == (0, 0, 0)
    assert image.getpixel((9, 3)) == (255, 255, 255)


def test_a_sheet_has_a_row_for_each_strip(tmp_path: Path):
    for name in ("a", "b"):
        save_png(tmp_path / f"{name}.png", strip(torch.rand(2, 3, 64, 64)))
    page = sheet([("base", tmp_path / "a.png"), ("epoch 1", tmp_path / "b.png")], columns=2)
    assert page.width > 2 * 128
    assert page.height > 2 * 128


def test_large_pictures_are_reduced(tmp_path: Path):
    save_png(tmp_path / "a.png", strip(torch.rand(1, 3, 512, 512)))
    assert sheet([("base", tmp_path / "a.png")], columns=1).height < 200
