"""Captions in one JSON file, as sd-scripts' fine-tuning data sets have them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from trainer.data import guard

_FILE, _TEXTS = "file_name", ("text", "caption", "prompt")


def captions(file: Path, images: Sequence[Path]) -> dict[Path, str]:
    """The caption of every image that the file names: its ``caption``, then its ``tags``.

    Args:
        file: ``{image: {"caption": text, "tags": text}}``, where an image is a path, a file name, or either without
            its suffix.
        images: those of one folder; the file may name fewer, or more.

    Raises:
        ValueError: the file is no such JSON; the message says what is wrong, without the file's name.
    """
    try:
        if problem := guard.too_large(file, guard.MOST_TABLE_BYTES):
            raise ValueError(problem)
        table = json.loads(file.read_bytes().decode("utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(f"cannot be read as JSON ({error})") from error
    if not isinstance(table, dict):
        raise ValueError("must be a JSON object with an entry for each image")
    known = {_plain(name): _text(name, entry) for name, entry in table.items()}
    found = {}
    for image in images:
        names = (image, image.with_suffix(""), Path(image.name), Path(image.stem))
        text = next((known[_plain(str(name))] for name in names if _plain(str(name)) in known), None)
        if text is not None:
            found[image] = text
    return found


def lines(file: Path, images: Sequence[Path]) -> dict[Path, str]:
    """The captions of a ``metadata.jsonl``: the ``text``, ``caption`` or ``prompt`` beside each ``file_name``.

    Raises:
        ValueError: it cannot be read; the message says what is wrong, without the file's name.
    """
    by_name = {image.name: image for image in images}
    found = {}
    try:
        if problem := guard.too_large(file, guard.MOST_TABLE_BYTES):
            raise ValueError(problem)
        for number, line in enumerate(file.read_bytes().decode("utf-8-sig").splitlines(), start=1):
            if line.strip():
                name, text = _entry(json.loads(line), number)
                if text and name in by_name:
                    found[by_name[name]] = text
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(f"the captions cannot be read ({error}); mend or remove the file") from error
    return found


def _entry(entry: Any, number: int) -> tuple[str, str]:
    """File name and text of a line."""
    told = entry if isinstance(entry, dict) else {}
    name, texts = told.get(_FILE), [told.get(key) or "" for key in _TEXTS]
    if not isinstance(name, str) or not all(isinstance(text, str) for text in texts):
        raise ValueError(f"line {number} must give a file_name, and a text, caption or prompt, as text")
    return _plain(name), str(next(filter(None, texts), ""))


def needed(file: Path, images: Sequence[Path]) -> dict[Path, str]:
    """``captions`` of at least one image.

    Raises:
        ValueError: as ``captions``, or because the file names none of the images.
    """
    found = captions(file, images)
    if not found:
        raise ValueError(f"names no image of {images[0].parent}")
    return found


def _plain(name: str) -> str:
    return name.replace("\\", "/").removeprefix("./")


def _text(name: str, entry: Any) -> str:
    parts = [entry.get(key) for key in ("caption", "tags")] if isinstance(entry, Mapping) else [entry]
    if not all(part is None or isinstance(part, str) for part in parts):
        raise ValueError(f"must give {name!r} a caption or tags as text, but got {str(entry)[:80]!r}")
    return ", ".join(part.strip() for part in parts if part and part.strip())
