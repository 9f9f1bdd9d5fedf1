"""Aspect buckets: which training size an image is brought to (pure)."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image

Size = tuple[int, int]
"""Width and height in pixels."""


def buckets(resolution: int, shortest: int, longest: int, step: int) -> tuple[Size, ...]:
    """The square, and for each width the tallest size within ``resolution`` squared, both ways up.

    Args:
        resolution: square root of the largest area, in pixels.
        shortest: smallest width in pixels.
        longest: largest side in pixels.
        step: grid of the sides in pixels.
    """
    square = resolution // step * step
    sizes = {(square, square)}
    for width in range(shortest, longest + 1, step):
        height = min(longest, resolution * resolution // width // step * step)
        if height >= shortest:
            sizes |= {(width, height), (height, width)}
    return tuple(sorted(sizes))


def nearest(size: Size, choices: Sequence[Size]) -> Size:
    """The bucket whose aspect ratio is nearest in logarithm; of equals, the larger area."""

    def distance(bucket: Size) -> tuple[float, int]:
        ratio = (size[0] * bucket[1]) / (size[1] * bucket[0])
        return max(ratio, 1 / ratio), -bucket[0] * bucket[1]

    return min(choices, key=distance)


def fit(image: Image.Image, size: Size) -> Image.Image:
    """Scales an RGB image to cover ``size`` and crops the centre."""
    covering = _covering(image.size, size)
    resized = image.resize(covering, Image.Resampling.LANCZOS) if covering != image.size else image
    left, top = crop_corner(image.size, size)
    return resized.crop((left, top, left + size[0], top + size[1]))


def crop_corner(original: Size, size: Size) -> tuple[int, int]:
    """Pixels that ``fit`` cuts off at the left and at the top, after scaling."""
    width, height = _covering(original, size)
    return (width - size[0]) // 2, (height - size[1]) // 2


def _covering(original: Size, size: Size) -> Size:
    scale = max(size[0] / original[0], size[1] / original[1])
    return max(size[0], round(original[0] * scale)), max(size[1], round(original[1] * scale))
