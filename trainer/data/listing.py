"""What lies in an image folder: pictures, the captions beside them, and what is left out."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from trainer.data import guard


@dataclass(frozen=True, slots=True)
class Plugin:
    """A package that teaches Pillow a format."""

    module: str
    package: str
    """Its name on PyPI."""
    form: str
    """What Pillow then calls the format."""


_HEIF = Plugin("pillow_heif", "pillow-heif", "HEIF")
PLUGINS: Mapping[str, Plugin] = {
    ".jxl": Plugin("pillow_jxl", "pillow-jxl-plugin", "JXL"),
    ".heic": _HEIF,
    ".heif": _HEIF,
}
"""By suffix."""
SUFFIXES = frozenset(
    {".png", ".jpg", ".jpeg", ".jfif", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".avif"}
    | {suffix for suffix, plugin in PLUGINS.items() if find_spec(plugin.module)}
)
"""Of the pictures that are read here, in lower case."""
CAPTIONS = (".txt", ".caption")
"""Suffixes of caption files, in order of preference; sd-scripts' default is the second."""
METADATA = "metadata.jsonl"
"""Hugging Face's image folders: a line of JSON a picture."""
_MASKS = ("-masklabel", "-condlabel")
"""Ends of the names of OneTrainer's masks and conditioning pictures, beside the picture without."""
_COMPANIONS = frozenset({".npz", ".json", ".jsonl", ".toml", ".csv", ".md", ".db", ".ini"})
"""Suffixes of what trainers and systems leave beside pictures: caches, tables, notes."""
_NAMED = 3
"""Most names in one clause."""


@dataclass(frozen=True, slots=True)
class Listing:
    """One folder."""

    folder: Path
    images: tuple[Path, ...]
    """By name."""
    captions: Mapping[Path, Path]
    """The caption file of each image that has one."""
    left_out: str
    """What is not read, and why, in a sentence; empty where there is nothing."""


def listing(folder: Path) -> Listing:
    """Looks at the names in a folder; hidden ones are passed over."""
    entries = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    files = [path for path in entries if path.is_file()]
    pictures = [path for path in files if path.suffix.lower() in SUFFIXES]
    stems = {path.stem for path in pictures}
    masks = [path for path in pictures if _owner(path.stem) in stems]
    images = tuple(path for path in pictures if path not in masks)
    texts = {_plain(path): path for path in files if path.suffix.lower() in CAPTIONS}
    captions = {image: text for image in images if (text := _beside(image, texts))}
    own = {*pictures, *captions.values()}
    strange = [path for path in files if path not in own and path.suffix.lower() not in _COMPANIONS]
    clauses = (*_strange(strange), *_masks(masks), *_deeper(entries))
    return Listing(folder, images, captions, f"{folder}: left out: {'; '.join(clauses)}." if clauses else "")


def image_files(folder: Path) -> tuple[Path, ...]:
    """The image files directly in a folder, by name."""
    return listing(folder).images


def pictures_below(folder: Path) -> Iterator[Path]:
    """The image files in a folder and its sub-folders."""
    return (path for path in guard.below(folder) if path.suffix.lower() in SUFFIXES)


def _owner(stem: str) -> str | None:
    """The picture that a mask belongs to, by its stem."""
    return next((stem.removesuffix(end) for end in _MASKS if stem.endswith(end)), None)


def _plain(path: Path) -> str:
    """A name as people read it: composed, as Macs decompose letters with accents; the suffix in lower case."""
    return unicodedata.normalize("NFC", path.stem) + path.suffix.lower()


def _beside(image: Path, texts: Mapping[str, Path]) -> Path | None:
    """``p.txt``, ``p.png.txt``, ``p.caption`` or ``p.png.caption`` of ``p.png``."""
    names = [unicodedata.normalize("NFC", name) for name in (image.stem, image.name)]
    return next((texts[name + end] for end in CAPTIONS for name in names if name + end in texts), None)


def _strange(files: Sequence[Path]) -> Iterator[str]:
    bare = [path for path in files if path.suffix.lower() in CAPTIONS]
    known = [path for path in files if path.suffix.lower() in PLUGINS]
    others = [path for path in files if path not in bare and path not in known]
    if known:
        packages = sorted({PLUGINS[path.suffix.lower()].package for path in known})
        yield f"{_count(known, 'picture')} that need {' and '.join(f'`pip install {name}`' for name in packages)}"
    if others:
        yield f"{_count(others, 'file')} that no picture's suffix ends"
    if bare:
        yield f"{_count(bare, 'caption')} without a picture"


def _masks(masks: Sequence[Path]) -> Iterator[str]:
    if masks:
        yield f"{_count(masks, 'mask')}, which are not trained with"


def _deeper(entries: Iterable[Path]) -> Iterator[str]:
    for child in entries:
        if child.is_dir():
            count = sum(1 for _ in pictures_below(child))
            if count:
                yield f"{count} picture(s) in the sub-folder {child.name}"


def _count(paths: Sequence[Path], what: str) -> str:
    names = ", ".join(path.name for path in paths[:_NAMED])
    return f"{len(paths)} {what}(s) ({names}{', …' if len(paths) > _NAMED else ''})"
