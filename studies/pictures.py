"""Strips of renders cut into tiles that a page carries in itself."""

from __future__ import annotations

import base64
import io
from pathlib import Path

from PIL import Image

LARGEST = 320
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
