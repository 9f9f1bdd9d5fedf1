"""How an image is brought to its training size: plainly, or changed anew at every presentation."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache

import torch
from PIL import Image, ImageEnhance, ImageOps

from trainer.data.buckets import Size, cover
from trainer.plans.data import DataPlan
from trainer.seeds import generator


@dataclass(frozen=True, slots=True)
class View:
    """One way of showing an image; equal views of an image are the same pixels."""

    original: Size
    """Size of the image itself."""
    size: Size
    """Size that is shown."""
    scaled: Size
    """Size to which the whole image is scaled before a part of it is cut out."""
    left: int
    """Pixels of the scaled image left of the part; of a mirrored one, left in the mirror image."""
    top: int
    angle: float = 0.0
    """Degrees, counter-clockwise, about the centre of the part."""
    colour: tuple[float, float, float] = (1.0, 1.0, 1.0)
    """Factors on brightness, contrast and saturation, applied in this order."""
    flipped: bool = False

    @property
    def crop_top_left(self) -> tuple[int, int]:
        """Top and left of what is shown within the scaled image, as SDXL is told."""
        return self.top, self.left

    @property
    def keepable(self) -> bool:
        """Whether it is the plain view or its mirror image, so that its latents are worth keeping."""
        return self in (plain(self.original, self.size), mirrored(plain(self.original, self.size)))


@lru_cache(maxsize=4096)
def plain(original: Size, size: Size) -> View:
    """Scaled to cover, cropped around the centre."""
    scaled = cover(original, size)
    return View(original, size, scaled, (scaled[0] - size[0]) // 2, (scaled[1] - size[1]) // 2)


def mirrored(view: View) -> View:
    """The same part of the image, turned left to right."""
    left = view.scaled[0] - _box(view.size, view.angle)[0] - view.left
    return replace(view, left=left, angle=-view.angle or 0.0, flipped=not view.flipped)


def drawn(plan: DataPlan, seed: int, presentation: int, original: Size, size: Size) -> View:
    """The view of one presentation; the same random numbers for every trial, scaled by its own settings."""
    changes = plan.random_crop or plan.rotation_degrees or plan.zoom or plan.colour_jitter
    if not (changes or plan.flip):
        return plain(original, size)
    u = _uniforms(seed, presentation)
    view = _changed(plan, u, original, size) if changes else plain(original, size)
    return mirrored(view) if plan.flip and u[0] < 0.5 else view


def show(image: Image.Image, view: View) -> Image.Image:
    """The part of an RGB image that a view shows, of the view's size."""
    picture = ImageOps.mirror(image) if view.flipped else image
    if view.scaled != picture.size:
        picture = picture.resize(view.scaled, Image.Resampling.LANCZOS)
    width, height = _box(view.size, view.angle)
    part = picture.crop((view.left, view.top, view.left + width, view.top + height))
    if view.angle:
        turned = part.rotate(view.angle, Image.Resampling.BICUBIC)
        left, top = (width - view.size[0]) // 2, (height - view.size[1]) // 2
        part = turned.crop((left, top, left + view.size[0], top + view.size[1]))
    enhancers = ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color
    for enhancer, factor in zip(enhancers, view.colour, strict=True):
        part = enhancer(part).enhance(factor) if factor != 1 else part
    return part


def _changed(plan: DataPlan, u: tuple[float, ...], original: Size, size: Size) -> View:
    angle = plan.rotation_degrees * (2 * u[3] - 1)
    box = _box(size, angle)
    scaled = cover(original, box, 1 + plan.zoom * u[4])
    across, down = scaled[0] - box[0], scaled[1] - box[1]
    left, top = across // 2, down // 2
    if plan.random_crop:
        left, top = int((across + 1) * u[1]), int((down + 1) * u[2])
    jitter = plan.colour_jitter
    brightness, contrast, saturation = (1 + jitter * (2 * value - 1) for value in u[5:8])
    return View(original, size, scaled, left, top, angle, (brightness, contrast, saturation))


def _box(size: Size, angle: float) -> Size:
    """The upright rectangle that holds ``size`` turned by ``angle``, with a margin for interpolation."""
    if not angle:
        return size
    turn = math.radians(abs(angle))
    width = size[0] * math.cos(turn) + size[1] * math.sin(turn)
    height = size[0] * math.sin(turn) + size[1] * math.cos(turn)
    return size[0] + _even(width - size[0]), size[1] + _even(height - size[1])


def _even(excess: float) -> int:
    """Pixels to add to a side, as many before as after."""
    return 2 * math.ceil(max(0.0, excess) / 2) + 2


@lru_cache(maxsize=4096)
def _uniforms(seed: int, presentation: int) -> tuple[float, ...]:
    """Flip, crop across, crop down, angle, zoom, and three of colour, each in [0, 1)."""
    source = generator(seed, "view", presentation)
    return tuple(torch.rand(8, generator=source, dtype=torch.float64).tolist())
