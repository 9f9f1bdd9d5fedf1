from pathlib import Path

import torch

from studies.sheets import save_png, sheet, strip


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
