from __future__ import annotations

import base64
import io
from pathlib import Path

from PIL import Image

from studies import pictures


def opened(uri: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2])))


def test_a_strip_is_cut_from_left_to_right(tmp_path: Path) -> None:
    strip = Image.new("RGB", (30, 10))
    for i, colour in enumerate(("red", "green", "blue")):
        strip.paste(colour, (10 * i, 0, 10 * i + 10, 10))
    strip.save(tmp_path / "strip.png")
    found = [opened(uri) for uri in pictures.tiles(tmp_path / "strip.png", 3)]
    assert [image.size for image in found] == [(10, 10)] * 3
    assert [image.getpixel((5, 5)) for image in found] == [(255, 0, 0), (0, 128, 0), (0, 0, 255)]


def test_large_renders_are_scaled_down_to_jpeg() -> None:
    uri = pictures.data_uri(Image.new("RGB", (1024, 512), "red"))
    assert uri.startswith("data:image/jpeg;base64,")
    assert opened(uri).size == (pictures.LARGEST, pictures.LARGEST // 2)


def test_no_strip_no_pictures(tmp_path: Path) -> None:
    assert pictures.tiles(tmp_path / "missing.png", 3) == []
