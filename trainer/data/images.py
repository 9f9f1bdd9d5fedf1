"""Reads images, captions and repeats from their folders. Every problem is told before any training."""

from __future__ import annotations

import hashlib
import struct
import warnings
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from trainer.data import guard
from trainer.data.folders import FILEWORDS, NO_RULES, CaptionRules, ImageFolder, in_concepts, in_folder
from trainer.data.listing import PLUGINS

MINIMUM_IMAGES = 3
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "DIB", "TIFF", "GIF", "AVIF")
"""Whatever the suffix says: Pillow hands other formats to other programs."""
_BROKEN = (
    OSError, EOFError, SyntaxError, ValueError, TypeError, LookupError, OverflowError, MemoryError, RuntimeError,
    struct.error, zlib.error,
)  # fmt: skip
"""What Pillow raises on files that were cut off or made up."""


class DataError(Exception):
    """The data set cannot be trained on; ``problems`` says why, a sentence each."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


_RESTORE = "restore it and run the same command again to go on, or start a new study under another name."


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
    words: str = ""
    """Class words of its folder."""
    captioned: bool = True
    """Whether a caption file stands beside it; else the class words are its caption."""
    rules: CaptionRules = NO_RULES
    """What its concept says about its captions."""
    lines: int = 1
    """Of its caption before they were joined."""


@dataclass(frozen=True, slots=True)
class FolderContents:
    """What the folders hold, and what their owner should know."""

    examples: tuple[Example, ...]
    regularisation: tuple[Example, ...]
    warnings: tuple[str, ...]


def open_rgb(path: Path) -> Image.Image:
    """The picture as a person sees it: EXIF rotation applied, alpha laid over white, RGB.

    Raises:
        DataError: the file is empty, broken, no image, absurdly large or long.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if problem := guard.too_large(path, guard.MOST_FILE_BYTES):
                raise DataError([f"{path}: {problem}; replace or remove it."])
            with Image.open(path, formats=formats_of(path)) as raw:
                if problem := guard.size_problem(raw.size):
                    raise DataError([f"{path}: {problem}."])
                turned = _eight_bits(ImageOps.exif_transpose(raw))
                if turned.has_transparency_data:
                    turned = turned.convert("RGBA")
                    paper = Image.new("RGBA", turned.size, "white")
                    return Image.alpha_composite(paper, turned).convert("RGB")
                return turned.convert("RGB")
    except Image.DecompressionBombError as error:
        raise DataError([f"{path}: {guard.BOMB}."]) from error
    except _BROKEN as error:
        raise DataError(
            [f"{path}: this image cannot be read ({_brief(error)}); replace or remove the file."]
        ) from error


def formats_of(path: Path) -> tuple[str, ...]:
    """What a file may be, as Pillow calls it: also what an installed package teaches it, by the file's suffix."""
    plugin = PLUGINS.get(path.suffix.lower())
    if plugin is None or not find_spec(plugin.module):
        return FORMATS
    module = import_module(plugin.module)
    if register := getattr(module, "register_heif_opener", None):
        register()
    return (*FORMATS, plugin.form)


def read(
    folders: Sequence[Path], concepts: Path | None = None, reg_folder: Path | None = None
) -> FolderContents:
    """All examples, in the order of folders and paths.

    Args:
        folders: each with sub-folders ``N_name``.
        concepts: a concepts list.
        reg_folder: regularisation images, with sub-folders ``N_name``.

    Raises:
        DataError: with every problem found, not only the first.
    """
    problems: list[str] = []
    notes: list[str] = []
    sources = [source for folder in folders for source in in_folder(folder, problems)]
    listed = list(in_concepts(concepts, problems)) if concepts is not None else []
    sources += listed
    if reg_folder is not None:
        sources += in_folder(reg_folder, problems, regularisation=True)
    examples = _examples((s for s in sources if not s.regularisation), problems, notes)
    regularisation = _examples((s for s in sources if s.regularisation), problems, notes)
    if not problems and len(examples) < MINIMUM_IMAGES:
        parents = dict.fromkeys(image.parent for source in listed for image in source.images)
        places = ", ".join(map(str, [*folders, *(parents or [concepts] if concepts else [])]))
        problems.append(
            f"{places}: {len(examples)} image(s) found, at least {MINIMUM_IMAGES} are needed "
            "(one each to train, validate and test); 15 or more are advised."
        )
    if problems:
        raise DataError(problems)
    return FolderContents(tuple(_once(examples, notes)), tuple(regularisation), tuple(notes))


def _examples(sources: Iterable[ImageFolder], problems: list[str], notes: list[str]) -> list[Example]:
    examples: list[Example] = []
    for source in sources:
        for path in source.images:
            try:
                examples.append(_example(path, source, notes))
            except DataError as error:
                problems.extend(error.problems)
        if source.left_out:
            notes.append(source.left_out)
    return examples


def _once(examples: Sequence[Example], notes: list[str]) -> list[Example]:
    """Examples without those that are the same file with the same caption; their repeats are added up."""
    kept: dict[tuple[object, ...], Example] = {}
    for example in examples:
        key = example.content, example.caption, example.words, example.rules
        first = kept.get(key)
        kept[key] = replace(first, repeats=first.repeats + example.repeats) if first else example
    if copies := len(examples) - len(kept):
        notes.append(
            f"{copies} of {len(examples)} images are copies of others with the same caption: each picture counts once, "
            "with the repeats of its copies added up."
        )
    return list(kept.values())


def open_same(example: Example) -> Image.Image:
    """``open_rgb`` of an example whose file is still what was read when the run began.

    Raises:
        DataError: it has changed, or is gone.
    """
    try:
        same = hashlib.sha256(example.path.read_bytes()).hexdigest() == example.content
    except OSError as error:
        raise DataError(
            [f"{example.path}: the image cannot be read any more ({error.strerror}); {_RESTORE}"]
        ) from error
    if not same:
        raise DataError([f"{example.path}: the image has changed since the run began; {_RESTORE}"])
    return open_rgb(example.path)


def _example(path: Path, source: ImageFolder, notes: list[str]) -> Example:
    if not path.stat().st_size:
        raise DataError([f"{path}: the file is empty (0 bytes); replace or remove it."])
    size = open_rgb(path).size
    data = path.read_bytes()
    text = source.captions.get(path)
    if text is None and path in source.files:
        text = _caption(source.files[path], notes)
    lines = _lines(text or "")
    content = hashlib.sha256(data).hexdigest()
    said = _said(source.words, None if text is None else ", ".join(lines))
    return Example(
        path,
        said,
        source.repeats,
        content,
        size,
        _said(source.words, None),
        text is not None,
        source.rules,
        len(lines),
    )


def _lines(text: str) -> list[str]:
    """The lines of a caption that hold something; where there are several, each is a tag or more."""
    lines = [" ".join(line.split()) for line in text.splitlines() if line.strip()]
    return lines if len(lines) < 2 else [line.rstrip(", ") for line in lines]


def _said(prompt: str, caption: str | None) -> str:
    """The caption in its place in the prompt; without such a place itself, or the prompt where there is no caption."""
    if FILEWORDS not in prompt:
        return prompt if caption is None else caption
    parts = prompt.replace(FILEWORDS, caption or "").split(",")
    return ", ".join(" ".join(part.split()) for part in parts if part.strip())


def _caption(path: Path, notes: list[str]) -> str:
    """A file's text."""
    try:
        if problem := guard.too_large(path, guard.MOST_CAPTION_BYTES):
            raise DataError([f"{path}: {problem} as a caption; shorten or remove it."])
        text = path.read_bytes().decode("utf-8-sig").strip()
    except UnicodeDecodeError as error:
        raise DataError(
            [f"{path}: the caption is not UTF-8 (byte {error.start}); save it as UTF-8 in your editor."]
        ) from error
    if not text:
        notes.append(f"{path}: the caption is empty.")
    return text


def _eight_bits(image: Image.Image) -> Image.Image:
    """16-bit grey brought to 8 bits; any other mode as it is."""
    if not image.mode.startswith("I;16"):
        return image
    return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))


def _brief(error: Exception) -> str:
    return str(error).split("\n")[0].replace("'", "")[:80] or type(error).__name__
