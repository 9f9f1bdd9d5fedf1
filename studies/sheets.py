"""Contact sheets: pictures in rows and columns, with labels."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from trainer.files import write_whole

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
