"""What a person would want to know about a data set before training on it (pure)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from trainer.data.buckets import Size, cover
from trainer.data.images import Example

BLURRED_BELOW = 30.0
"""Variance of the Laplacian under which a photo looks out of focus."""
_LOOKED_AT = 512
"""Longest side in pixels at which sharpness is measured, so that large photos compare with small ones."""
NOTICEABLE_ENLARGEMENT = 1.25
_NAMED = 3
"""Most files that one sentence names."""


def sharpness(image: Image.Image) -> float:
    """Variance of the Laplacian (Pech-Pacheco et al. 2000) of the grey image, at most 512 pixels long."""
    grey = image.convert("L")
    grey.thumbnail((_LOOKED_AT, _LOOKED_AT))
    a = np.asarray(grey, dtype=np.float64)
    if min(a.shape) < 3:
        return 0.0
    laplacian = a[:-2, 1:-1] + a[2:, 1:-1] + a[1:-1, :-2] + a[1:-1, 2:] - 4 * a[1:-1, 1:-1]
    return float(laplacian.var())


def covered(captions: Sequence[str], trigger: str) -> int:
    """In how many captions the trigger words stand, whatever their case."""
    return sum(trigger.casefold() in caption.casefold() for caption in captions)


def notes(
    examples: Sequence[Example],
    sizes: Sequence[Size],
    together: Sequence[Sequence[int]],
    clarity: Sequence[float],
) -> list[str]:
    """Warnings about training images, a sentence each.

    Args:
        examples: the images.
        sizes: the size to which each is brought.
        together: groups of duplicates and near-duplicates.
        clarity: ``sharpness`` of each.
    """
    found: list[str] = []
    for group in together:
        if len(group) > 1:
            found.append(f"{_names(examples, group)} look alike; they count as one image and stay together.")
    blurred = [i for i, value in enumerate(clarity) if value < BLURRED_BELOW]
    if blurred:
        found.append(f"{_names(examples, blurred)}: {len(blurred)} image(s) look blurred; check them.")
    small = [i for i, e in enumerate(examples) if _enlarged(e.size, sizes[i]) > NOTICEABLE_ENLARGEMENT]
    if small:
        most = max(_enlarged(examples[i].size, sizes[i]) for i in small)
        found.append(
            f"{_names(examples, small)}: {len(small)} image(s) are smaller than their training size and "
            f"would be enlarged up to {most:.2g} times; use larger ones, a lower data.resolution, or "
            "data.bucket_no_upscale."
        )
    return found + list(_about_captions(examples))


def dealt(images: int, folds: int) -> list[str]:
    """What was done because a set is small."""
    if not folds:
        return []
    return [
        f"{images} images are too few for one held-out side: they are dealt into {folds} folds, and every trial is "
        f"trained {folds} times, each time judged on the fold that it has not seen; the winner is trained once more "
        "on all folds (split.folds = 0 trains each trial once)."
    ]


def shared_with(examples: Sequence[Example], regularisation: Sequence[Example]) -> list[str]:
    """A warning where a regularisation image is also an image of the data set."""
    own = {example.content for example in examples}
    shared = [i for i, example in enumerate(regularisation) if example.content in own]
    if not shared:
        return []
    return [
        f"{_names(regularisation, shared)}: regularisation images that are also images of the data set; "
        "remove them, or held-out images would be trained on."
    ]


def _about_captions(examples: Sequence[Example]) -> Iterator[str]:
    bare = [i for i, example in enumerate(examples) if not example.captioned]
    if bare:
        yield (
            f"{_names(examples, bare)}: {len(bare)} of {len(examples)} images have no caption file; their "
            "class words stand in, and `lorasearch caption` can write captions."
        )
    long = [i for i, example in enumerate(examples) if example.lines > 1]
    if long:
        yield (
            f"{_names(examples, long)}: {len(long)} caption(s) have several lines, which are joined by ', ' "
            "(sd-scripts trains on the first alone)."
        )
    folders: dict[tuple[Path, str], list[Example]] = {}
    for example in examples:
        folders.setdefault((example.path.parent, example.words), []).append(example)
    for (folder, words), members in folders.items():
        there = covered([example.caption for example in members], words)
        if words and 0 < there < len(members):
            yield f"{folder}: '{words}' stands in {there} of {len(members)} captions; is it the trigger?"


def _enlarged(original: Size, size: Size) -> float:
    return cover(original, size)[0] / original[0]


def _names(examples: Sequence[Example], which: Sequence[int]) -> str:
    names = ", ".join(str(examples[i].path) for i in which[:_NAMED])
    return f"{names} and {len(which) - _NAMED} more" if len(which) > _NAMED else names
