"""Where images come from: folders with N_name sub-folders, and concept lists in JSON."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from trainer.data import caption_table, guard
from trainer.data.listing import METADATA, SUFFIXES, Listing, listing
from trainer.paths import absolute

FILEWORDS = "[filewords]"
"""Stands in a prompt for the text beside the image (Dreambooth extension)."""
_FOLDER = re.compile(r"(?P<repeats>[^_]*)_(?P<name>.+)")


@dataclass(frozen=True, slots=True)
class CaptionRules:
    """What a concept says about its captions; None leaves it to the plan."""

    shuffle: bool | None = None
    keep_tokens: int | None = None
    caption_dropout: float | None = None
    tag_dropout: float | None = None


NO_RULES = CaptionRules()


@dataclass(frozen=True, slots=True)
class ImageFolder:
    """Images that share repeats, class words and caption rules."""

    images: tuple[Path, ...]
    repeats: int
    words: str
    """The caption where no ``.txt`` stands beside an image; around that text where they hold ``[filewords]``."""
    rules: CaptionRules = NO_RULES
    regularisation: bool = False
    files: Mapping[Path, Path] = field(default_factory=dict)
    """The caption file beside each image that has one."""
    captions: Mapping[Path, str] = field(default_factory=dict)
    """Captions that a metadata file gives; they come first."""
    metadata_file: Path | None = None
    left_out: str = ""
    """What lies there and is not read, in a sentence."""


class Concept(BaseModel):
    """One entry of a concepts list, under the names of the Dreambooth extension and sd-scripts."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    instance_data_dir: str = Field(min_length=1)
    """Folder that holds the images themselves."""
    class_data_dir: str | None = Field(None, min_length=1)
    """Folder of regularisation images."""
    instance_prompt: str = ""
    """The caption of images without a ``.txt``; empty takes the folder's name. Where it holds ``[filewords]``, it is
    the caption of all, with the text of their ``.txt`` in that place."""
    class_prompt: str = ""
    metadata_file: str | None = Field(None, min_length=1)
    """JSON with the captions of the instance images, which are then those that it names; no ``.txt`` is read."""
    repeats: int = Field(1, ge=1)
    """Also called ``num_repeats``."""
    shuffle_caption: bool | None = None
    keep_tokens: int | None = Field(None, ge=0)
    caption_dropout: float | None = Field(None, ge=0, le=1)
    """Also called ``caption_dropout_rate``."""
    tag_dropout: float | None = Field(None, ge=0, le=1)
    """Also called ``caption_tag_dropout_rate``."""

    @model_validator(mode="before")
    @classmethod
    def _one_name_each(cls, entry: Any) -> Any:
        if not isinstance(entry, dict):
            return entry
        renamed = dict(entry)
        for other, name in _OTHER_NAMES.items():
            if other in renamed:
                if name in renamed:
                    raise ValueError(f"'{other}' and '{name}' are the same; keep one")
                renamed[name] = renamed.pop(other)
        return renamed


_OTHER_NAMES = {
    "num_repeats": "repeats",
    "caption_dropout_rate": "caption_dropout",
    "caption_tag_dropout_rate": "tag_dropout",
}


def in_folder(folder: Path, problems: list[str], regularisation: bool = False) -> Iterator[ImageFolder]:
    """The ``N_name`` sub-folders of ``folder``, or of its ``img``; what is wrong is added to ``problems``."""
    if not folder.is_dir():
        problems.append(f"{folder}: there is no such image folder; create it with sub-folders named N_name.")
        return
    folder = _of_project(folder)
    problems += guard.strays(folder, folder, SUFFIXES)
    loose = listing(folder).images
    if loose:
        problems.append(
            f"{folder}: {len(loose)} image(s) such as {loose[0].name} lie outside a folder named N_name; "
            f"move them into one, e.g. {folder.name}/10_{folder.name}/."
        )
    for child in sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith(".")):
        if not guard.readable(child, folder):
            continue
        problems += guard.strays(child, folder, SUFFIXES)
        found = listing(child)
        match = _FOLDER.fullmatch(child.name)
        if not found.images:
            problems.append(f"{child}: the folder holds no image ({', '.join(sorted(SUFFIXES))}).")
        elif not match or not match["repeats"].isdecimal() or int(match["repeats"]) < 1:
            problems.append(
                f"{child}: the folder name must be N_name with a whole number of repeats N >= 1, "
                f"but got '{child.name}'; rename it, e.g. to '{_advised(child.name)}'."
            )
        else:
            words = match["name"].replace("_", " ")
            yield _beside(found, int(match["repeats"]), words, regularisation, problems)


def _of_project(folder: Path) -> Path:
    """kohya's project folder keeps its images in ``img``, beside ``log`` and ``model``."""
    inner = folder / "img"
    own = any(_FOLDER.fullmatch(child.name) for child in folder.iterdir() if child.is_dir())
    return inner if inner.is_dir() and not own else folder


def _advised(name: str) -> str:
    """A name that would be accepted, with the number that is there, which sd-scripts takes for the repeats."""
    number, _, words = name.partition("_")
    if number.isdecimal() and int(number) > 0:
        return f"{int(number)}_{words or 'img'}"
    return f"10_{name.split('_')[-1] or 'img'}"


def _beside(
    found: Listing, repeats: int, words: str, regularisation: bool, problems: list[str]
) -> ImageFolder:
    """A folder with the captions beside its images, or in its ``metadata.jsonl``."""
    table, captions = found.folder / METADATA, dict[Path, str]()
    if table.exists():
        try:
            captions = caption_table.lines(table, found.images)
        except ValueError as error:
            problems.append(f"{table}: {error}.")
    return ImageFolder(
        found.images,
        repeats,
        words,
        regularisation=regularisation,
        files=found.captions,
        captions=captions,
        left_out=found.left_out,
    )


def in_concepts(path: Path, problems: list[str]) -> Iterator[ImageFolder]:
    """The sources of a concepts list; relative folders in it are relative to the file."""
    try:
        if problem := guard.too_large(path, guard.MOST_TABLE_BYTES):
            raise ValueError(problem)
        entries = json.loads(path.read_bytes().decode("utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        problems.append(f"{path}: the concepts list cannot be read as JSON ({error}); mend it there.")
        return
    if isinstance(entries, dict):
        entries = entries.get("concepts_list", [entries])
    if not isinstance(entries, list) or not entries:
        problems.append(f"{path}: a concepts list must be a JSON list with at least one concept.")
        return
    for number, entry in enumerate(entries, start=1):
        try:
            concept = Concept.model_validate(entry)
        except ValidationError as error:
            problems += [f"{path}: concept {number}: {_sentence(found)}." for found in error.errors()]
            continue
        yield from _of_concept(concept, path, f"{path}: concept {number}", problems)


def _of_concept(concept: Concept, path: Path, name: str, problems: list[str]) -> Iterator[ImageFolder]:
    rules = CaptionRules(
        concept.shuffle_caption, concept.keep_tokens, concept.caption_dropout, concept.tag_dropout
    )
    folders = [
        (concept.instance_data_dir, "instance_data_dir", concept.instance_prompt, concept.repeats),
        (concept.class_data_dir, "class_data_dir", concept.class_prompt, 1),
    ]
    for value, key, prompt, repeats in folders:
        if value is None:
            continue
        folder = absolute(value, path.parent)
        images: tuple[Path, ...] = ()
        found = None
        if os.path.isdir(folder):  # also of a name that no file system has
            problems += guard.strays(folder, folder, SUFFIXES)
            found = listing(folder)
            images = found.images
        told: dict[Path, str] | None = {}
        file = None
        if images and key == "instance_data_dir" and concept.metadata_file is not None:
            file = absolute(concept.metadata_file, path.parent)
            told = _told(file, images, name, problems)
            if told is None:
                continue
            images = tuple(image for image in images if image in told)
        if found and images:
            words = prompt or folder.name.replace("_", " ")
            whole = _beside(found, repeats, words, key == "class_data_dir", problems)
            yield replace(
                whole, images=images, rules=rules, captions=told or whole.captions, metadata_file=file
            )
        else:
            trouble = "holds no image" if found else "does not exist"
            problems.append(f"{name}: {key} {folder} {trouble}; put the images into that folder.")


def _told(file: Path, images: tuple[Path, ...], name: str, problems: list[str]) -> dict[Path, str] | None:
    """The captions of a metadata file; None, and a problem more, if it has none for any image."""
    try:
        return caption_table.needed(file, images)
    except ValueError as error:
        problems.append(f"{name}: metadata_file {file} {error}.")
        return None


def _sentence(found: Any) -> str:
    key = ".".join(map(str, found["loc"]))
    match found["type"]:
        case "missing":
            return f"'{key}' is missing"
        case "extra_forbidden":
            known = ", ".join([*Concept.model_fields, *_OTHER_NAMES])
            return f"'{key}' is not a known key; choose among: {known}"
        case "value_error":
            return str(found["ctx"]["error"])
        case _:
            where = f"'{key}' " if key else ""
            return f"{where}{found['msg'][0].lower()}{found['msg'][1:]}, but got {found['input']!r}"
