"""Pictures for people: strips, sheets and their files."""

from __future__ import annotations

import base64
import io
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from trainer.data.images import DataError, open_rgb
from trainer.files import write_whole

LARGEST = 512
"""Pixels of a tile's longer side in a page; larger renders are scaled down and stored as JPEG."""


def tiles(strip: Path, count: int) -> list[str]:
    """The ``count`` pictures of a strip as ``data:`` URIs, from left to right; none if there is no strip."""
    if count < 1 or not strip.exists():
        return []
    with Image.open(strip) as opened:
        image = opened.convert("RGB")
    width = image.width // count
    return [data_uri(image.crop((i * width, 0, (i + 1) * width, image.height))) for i in range(count)]


def data_uri(image: Image.Image) -> str:
    """A picture as a ``data:`` URI, at most ``LARGEST`` pixels wide or high."""
    large = max(image.size) > LARGEST
    if large:
        image = image.copy()
        image.thumbnail((LARGEST, LARGEST), Image.Resampling.LANCZOS)
    data = io.BytesIO()
    if large:
        image.save(data, "JPEG", quality=88, optimize=True)
    else:
        image.save(data, "PNG", optimize=True)
    kind = "jpeg" if large else "png"
    return f"data:image/{kind};base64,{base64.b64encode(data.getvalue()).decode()}"


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
            page.paste(
                picture,
                (left + (PROBLEM_TILE - picture.width) // 2, top + (PROBLEM_TILE - picture.height) // 2),
            )
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


TILE = 160
"""Most pixels of a tile's longer side in a sheet; smaller pictures are enlarged to whole multiples."""


_MARGIN = 6


_LABEL = 84


def strip(images: Tensor) -> Image.Image:
    """Pictures side by side: (n, 3, height, width) in [0, 1] -> one RGB image of full resolution."""
    n, _, height, width = images.shape
    joined = (images.nan_to_num().clamp(0, 1) * 255).round().byte().permute(2, 0, 3, 1)
    return Image.fromarray(joined.reshape(height, n * width, 3).contiguous().numpy())


def sheet(rows: Sequence[tuple[str, Path]], columns: int) -> Image.Image:
    """Strips below each other, each with its label on the left.

    Args:
        rows: label and PNG strip of ``columns`` pictures, from top to bottom.
        columns: pictures in a strip.
    """
    strips = [(label, _scaled(Image.open(path).convert("RGB"), columns)) for label, path in rows]
    width = max(image.width for _, image in strips)
    height = sum(image.height + _MARGIN for _, image in strips)
    page = Image.new("RGB", (_LABEL + width + _MARGIN, height + _MARGIN), "white")
    pen, font, top = ImageDraw.Draw(page), ImageFont.load_default(size=13), _MARGIN
    for label, image in strips:
        pen.text((_MARGIN, top + image.height // 2), label, fill="black", font=font, anchor="lm")
        page.paste(image, (_LABEL, top))
        top += image.height + _MARGIN
    return page


def save_png(path: Path, image: Image.Image) -> None:
    """Writes a PNG, whole or not at all."""
    data = io.BytesIO()
    image.save(data, "PNG")
    write_whole(path, data.getvalue())


def _scaled(image: Image.Image, columns: int) -> Image.Image:
    tile = max(image.width // columns, image.height)
    factor = TILE / tile if tile > TILE else max(1, TILE // tile)
    size = round(image.width * factor), round(image.height * factor)
    how = Image.Resampling.LANCZOS if factor < 1 else Image.Resampling.NEAREST
    return image.resize(size, how)
