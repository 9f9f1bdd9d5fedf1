"""What may not be read as training data: links that lead out of its folder, pipes and devices, absurd files."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

MOST_FILE_BYTES = 512 * 2**20
"""Of an image file."""
MOST_CAPTION_BYTES = 64 * 2**10
"""Of a caption file; 75 tokens take about 400 bytes."""
MOST_TABLE_BYTES = 64 * 2**20
"""Of a JSON file with captions or concepts."""
MOST_FILES = 100_000
"""In a folder and its sub-folders; a whole disk may be named by mistake."""
MOST_PIXELS = 89_478_485
"""Of an image: Pillow's own limit, above which a small file may be a decompression bomb."""
MOST_ASPECT = 32
"""Longer side over shorter side; cut to a training size, hardly anything of such an image is left."""

BOMB = (
    f"the image has far more than {MOST_PIXELS // 10**6} million pixels, as a decompression bomb has; scale it down or "
    "remove it"
)


def strays(folder: Path, root: Path, suffixes: frozenset[str]) -> Iterator[str]:
    """Entries of a folder that pose as data but may not be read, a sentence each.

    Args:
        folder: what is listed.
        root: what links may not lead out of.
        suffixes: of image files, in lower case; caption files are looked at, too.
    """
    inside = Path(os.path.realpath(root))
    with os.scandir(folder) as entries:
        found = sorted((entry for entry in entries if not entry.name.startswith(".")), key=lambda e: e.name)
    for entry in found:
        path = folder / entry.name
        if path.suffix.lower() not in {*suffixes, ".txt"} and not (entry.is_symlink() and entry.is_dir()):
            continue
        if problem := _problem(path, inside, entry.is_symlink()):
            yield f"{path}: {problem}"


def below(folder: Path) -> Iterator[Path]:
    """Files in a folder and its sub-folders, the first ``MOST_FILES``; what cannot be looked into is passed over."""
    files = (Path(place) / name for place, _, names in os.walk(folder) for name in names)
    return islice(files, MOST_FILES)


def readable(folder: Path, root: Path) -> bool:
    """Whether a folder lies within another, after links."""
    return Path(os.path.realpath(folder)).is_relative_to(os.path.realpath(root))


def too_large(path: Path, most: int) -> str | None:
    """A clause on a file that is larger than so many bytes, or no regular file."""
    facts = path.stat()
    if not stat.S_ISREG(facts.st_mode):
        return "this is no regular file"
    if facts.st_size > most:
        return f"the file has {facts.st_size} bytes, at most {most} are read"
    return None


def size_problem(size: tuple[int, int]) -> str | None:
    """A clause on an image of absurd width and height in pixels, with the remedy."""
    width, height = size
    if width * height > MOST_PIXELS:
        return (
            f"{width} x {height} pixels are more than {MOST_PIXELS // 10**6} million, as a decompression bomb has; "
            "scale it down or remove it"
        )
    if max(size) > MOST_ASPECT * min(size):
        return f"{width} x {height} pixels are longer than {MOST_ASPECT} : 1; crop or remove it"
    return None


def _problem(path: Path, inside: Path, linked: bool) -> str | None:
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return "the file name is not UTF-8; rename the file."
    if linked and not Path(os.path.realpath(path)).is_relative_to(inside):
        return (
            f"this link leads out of the data folder {inside}; put the file itself there, or remove the link."
        )
    if not path.exists():
        return "this link leads nowhere; remove it, or put the file itself there."
    if not path.is_dir() and not path.is_file():
        return "this is a pipe, a device or a socket and no file; remove it."
    return None
