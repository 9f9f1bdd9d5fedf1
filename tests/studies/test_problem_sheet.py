"""Contact sheets of problems."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from studies.problem_sheet import MOST, PROBLEM_TILE, problem_sheet


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
