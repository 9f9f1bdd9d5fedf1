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


def own_size(size: Size, resolution: int, step: int) -> Size:
    """The bucket of an image that must not be enlarged: its own size, cut down to the grid.

    An image of more than ``resolution`` squared is first scaled down to that area: of "width on the grid,
    height follows" and "height on the grid, width follows", the one nearer to the image's shape is taken.

    Args:
        size: of the image.
        resolution: square root of the largest area, in pixels.
        step: grid of the sides in pixels.

    Raises:
        ValueError: a side is shorter than one step.
    """
    if size[0] * size[1] <= resolution * resolution:
        found = size[0] // step * step, size[1] // step * step
    else:
        found = _scaled_down(size, resolution, step)
    if not all(found):
        raise ValueError(f"{size[0]} x {size[1]} pixels are less than one bucket step of {step} pixels")
    return found


def _scaled_down(size: Size, resolution: int, step: int) -> Size:
    shape = size[0] / size[1]
    width, height = (_cut(side, step) for side in (resolution * shape**0.5, resolution / shape**0.5))
    by_width, by_height = (width, _cut(width / shape, step)), (_cut(height * shape, step), height)
    choices = [choice for choice in (by_height, by_width) if all(choice)]
    return min(choices, key=lambda choice: abs(choice[0] / choice[1] - shape), default=(0, 0))


def _cut(side: float, step: int) -> int:
    """Rounded to whole pixels, half up as sd-scripts rounds, then cut down to the grid."""
    return int(side + 0.5) // step * step


def cover(size: Size, target: Size, zoom: float = 1.0) -> Size:
    """The size to which an image is scaled so that it covers ``target``, times ``zoom``."""
    scale = max(target[0] / size[0], target[1] / size[1]) * zoom
    return max(target[0], round(size[0] * scale)), max(target[1], round(size[1] * scale))


def fit(image: Image.Image, size: Size) -> Image.Image:
    """Scales an RGB image to cover ``size`` and crops the centre."""
    covering = cover(image.size, size)
    resized = image.resize(covering, Image.Resampling.LANCZOS) if covering != image.size else image
    left, top = crop_corner(image.size, size)
    return resized.crop((left, top, left + size[0], top + size[1]))


def crop_corner(original: Size, size: Size) -> tuple[int, int]:
    """Pixels that ``fit`` cuts off at the left and at the top, after scaling."""
    width, height = cover(original, size)
    return (width - size[0]) // 2, (height - size[1]) // 2
