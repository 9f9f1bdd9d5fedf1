"""A contact sheet of images with what is wrong written under each."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from trainer.data.images import DataError, open_rgb

PROBLEM_TILE = 200
"""Pixels of a tile's side."""
MOST = 60
"""Images on one sheet."""
_COLUMNS = 5
_GAP = 14
_LINE = 15
_LETTERS = 31
"""That fit under a tile."""


def problem_sheet(problems: Mapping[Path, Sequence[str]]) -> Image.Image:
    """Pictures with captions; files that cannot be opened are grey.

    Args:
        problems: what is said of each image; the first 60 are shown.
    """
    shown = list(problems.items())[:MOST]
    texts = [_wrapped(path, said) for path, said in shown]
    rows = [shown[start : start + _COLUMNS] for start in range(0, len(shown), _COLUMNS)]
    heights = [
        PROBLEM_TILE + _LINE * max(len(text) for text in texts[r * _COLUMNS : (r + 1) * _COLUMNS]) + 2 * _GAP
        for r in range(len(rows))
    ]
    more = len(problems) - len(shown)
    size = (
        _GAP + min(_COLUMNS, max(1, len(shown))) * (PROBLEM_TILE + _GAP),
        _GAP + sum(heights) + (_LINE + _GAP) * bool(more),
    )
    page = Image.new("RGB", size, "white")
    pen, font, top = ImageDraw.Draw(page), ImageFont.load_default(size=12), _GAP
    for r, row in enumerate(rows):
        for column, (path, _) in enumerate(row):
            left = _GAP + column * (PROBLEM_TILE + _GAP)
            picture = _tile(path)
            page.paste(picture, (left + (PROBLEM_TILE - picture.width) // 2, top + (PROBLEM_TILE - picture.height) // 2))
            for number, line in enumerate(texts[r * _COLUMNS + column]):
                place = left, top + PROBLEM_TILE + 4 + number * _LINE
                pen.text(place, line, fill="#555555" if number == 0 else "#b02020", font=font)
        top += heights[r]
    if more:
        pen.text((_GAP, top), f"and {more} more images", fill="#555555", font=font)
    return page


def _tile(path: Path) -> Image.Image:
    try:
        picture = open_rgb(path)
    except (DataError, OSError):
        return Image.new("RGB", (PROBLEM_TILE, PROBLEM_TILE), "#c9c9c9")
    factor = PROBLEM_TILE / max(picture.size)
    size = max(1, round(picture.width * factor)), max(1, round(picture.height * factor))
    return picture.resize(size, Image.Resampling.LANCZOS if factor < 1 else Image.Resampling.NEAREST)


def _wrapped(path: Path, said: Sequence[str]) -> list[str]:
    name = path.name if len(path.name) <= _LETTERS else f"{path.name[: _LETTERS - 1]}…"
    return [name, *(line for text in said for line in textwrap.wrap(text, _LETTERS))]
