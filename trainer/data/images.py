"""Reads a training folder: images, captions, repeats. Every problem is told before any training."""

from __future__ import annotations

import hashlib
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff"}
MINIMUM_IMAGES = 3
_FOLDER = re.compile(r"(?P<repeats>[^_]*)_(?P<name>.+)")


class DataError(Exception):
    """The data set cannot be trained on; ``problems`` says why, a sentence each."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


@dataclass(frozen=True, slots=True)
class Example:
    """One captioned image on disk."""

    path: Path
    caption: str
    repeats: int
    """The N of its folder ``N_name``."""
    content: str
    """SHA-256 of the file, in hexadecimal."""
    size: tuple[int, int]
    """Width and height in pixels after EXIF rotation."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What a folder holds, and what its owner should know."""

    examples: tuple[Example, ...]
    warnings: tuple[str, ...]


def open_rgb(path: Path) -> Image.Image:
    """The picture as a person sees it: EXIF rotation applied, alpha laid over white, RGB.

    Raises:
        DataError: the file is empty, broken, or no image.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(path) as raw:
                turned = _eight_bits(ImageOps.exif_transpose(raw))
                if turned.has_transparency_data:
                    turned = turned.convert("RGBA")
                    paper = Image.new("RGBA", turned.size, "white")
                    return Image.alpha_composite(paper, turned).convert("RGB")
                return turned.convert("RGB")
    except (OSError, UnidentifiedImageError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DataError(
            [f"{path}: this image cannot be read ({_brief(error)}); replace or remove the file."]
        ) from error


def read(folder: Path) -> Reading:
    """All examples below ``folder``, in path order.

    Raises:
        DataError: with every problem found, not only the first.
    """
    if not folder.is_dir():
        raise DataError(
            [f"{folder}: there is no such image folder; create it with sub-folders named N_name."]
        )
    problems: list[str] = []
    notes: list[str] = []
    examples: list[Example] = []
    for images, repeats, words in _folders(folder, problems):
        for path in images:
            try:
                examples.append(_example(path, repeats, words, notes))
            except DataError as error:
                problems.extend(error.problems)
    if not problems and len(examples) < MINIMUM_IMAGES:
        problems.append(
            f"{folder}: {len(examples)} image(s) found, at least {MINIMUM_IMAGES} are needed "
            "(one each to train, validate and test); 15 or more are advised."
        )
    if problems:
        raise DataError(problems)
    return Reading(tuple(examples), tuple(notes))


def _folders(folder: Path, problems: list[str]) -> Iterator[tuple[list[Path], int, str]]:
    loose = _images(folder)
    if loose:
        problems.append(
            f"{folder}: {len(loose)} image(s) such as {loose[0].name} lie outside a folder named N_name; "
            f"move them into one, e.g. {folder.name}/10_{folder.name}/."
        )
    for child in sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith(".")):
        images = _images(child)
        match = _FOLDER.fullmatch(child.name)
        if not images:
            problems.append(f"{child}: the folder holds no image ({', '.join(sorted(SUFFIXES))}).")
        elif not match or not match["repeats"].isdecimal() or int(match["repeats"]) < 1:
            problems.append(
                f"{child}: the folder name must be N_name with a whole number of repeats N >= 1, "
                f"but got '{child.name}'; rename it, e.g. to '10_{child.name.split('_')[-1]}'."
            )
        else:
            yield images, int(match["repeats"]), match["name"].replace("_", " ")


def _images(folder: Path) -> list[Path]:
    return sorted(
        p for p in folder.iterdir() if p.is_file() and p.suffix.lower() in SUFFIXES and p.name[0] != "."
    )


def _example(path: Path, repeats: int, words: str, notes: list[str]) -> Example:
    data = path.read_bytes()
    if not data:
        raise DataError([f"{path}: the file is empty (0 bytes); replace or remove it."])
    size = open_rgb(path).size
    return Example(path, _caption(path, words, notes), repeats, hashlib.sha256(data).hexdigest(), size)


def _caption(image: Path, words: str, notes: list[str]) -> str:
    path = image.with_suffix(".txt")
    if not path.exists():
        return words
    try:
        text = path.read_bytes().decode("utf-8-sig").strip()
    except UnicodeDecodeError as error:
        raise DataError(
            [f"{path}: the caption is not UTF-8 (byte {error.start}); save it as UTF-8 in your editor."]
        ) from error
    if not text:
        notes.append(f"{path}: the caption is empty.")
    return " ".join(text.split())


def _eight_bits(image: Image.Image) -> Image.Image:
    """16-bit grey brought to 8 bits; any other mode as it is."""
    if not image.mode.startswith("I;16"):
        return image
    return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))


def _brief(error: Exception) -> str:
    return str(error).split("\n")[0].replace("'", "")[:80] or type(error).__name__
