"""Where a configuration's images are: a folder of N_name folders, or the subsets of a data set file."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from studies.sd_scripts.recipe import located
from studies.sd_scripts.settings import Settings
from trainer.data import caption_table
from trainer.data.folders import ImageFolder, in_folder
from trainer.data.listing import CAPTIONS, image_files

_RULES = {
    "shuffle_caption": "shuffle_caption",
    "keep_tokens": "keep_tokens",
    "caption_dropout_rate": "caption_dropout",
    "caption_tag_dropout_rate": "tag_dropout",
}
"""Keys that may differ between subsets -> what a concept calls them."""
_CHANGING = ("shuffle_caption", "tag_dropout")
"""Rules of a concept that change a caption from one presentation to the next."""
_OWN = {"image_dir", "num_repeats", "class_tokens", "is_reg", "metadata_file", "conditioning_data_dir"}


@dataclass(frozen=True, slots=True)
class Subset:
    """One ``[[datasets.subsets]]`` with all that it inherits."""

    name: str
    """Its place in the file."""
    values: Mapping[str, Any]

    def text(self, key: str) -> str:
        """A text that it says; empty if it says none."""
        value = self.values.get(key)
        return value if isinstance(value, str) else ""

    @property
    def image_dir(self) -> str:
        """Its images' folder; empty if it names none."""
        return self.text("image_dir")

    @property
    def metadata(self) -> str:
        """The JSON file that holds its captions, if it is of the fine-tuning kind; else empty."""
        return self.text("metadata_file")

    @property
    def is_reg(self) -> bool:
        """Whether it holds regularisation images."""
        return self.values.get("is_reg") is True


@dataclass(frozen=True, slots=True)
class Images:
    """What a configuration shows an epoch."""

    shown: int
    """Images x repeats, without regularisation images."""
    regularised: bool
    concepts: list[dict[str, Any]] | None = None
    """A concepts list that must be written, where folders cannot say it."""

    @property
    def changes_captions(self) -> bool:
        """Whether some images, not all of them alike, have their tags shuffled or dropped."""
        return any(concept.get(rule) for concept in self.concepts or [] for rule in _CHANGING)


def caption_files(s: Settings) -> None:
    """Notes where captions lie in files that are not read here."""
    extension = s.text("caption_extension", CAPTIONS[0])
    if f".{extension.lstrip('.')}".lower() not in CAPTIONS:
        known = " or ".join(CAPTIONS)
        s.refuse("caption_extension", f"{extension!r} is not supported, captions are {known} files")


def subsets(table: Mapping[str, Any], config: Mapping[str, Any], problems: list[str]) -> list[Subset]:
    """All subsets of a data set file, each with what it inherits: subset > data set > general > configuration."""
    general, found = table.get("general", {}), []
    datasets = table.get("datasets")
    if not isinstance(general, dict):
        problems.append(f"general must be a table, but got {general!r}.")
        general = {}
    if not isinstance(datasets, list) or not datasets or not all(isinstance(d, dict) for d in datasets):
        problems.append("the data set file needs at least one [[datasets]] with [[datasets.subsets]].")
        return []
    for number, dataset in enumerate(datasets):
        inner = dataset.get("subsets")
        place = f"datasets[{number}]"
        if not isinstance(inner, list) or not inner or not all(isinstance(i, dict) for i in inner):
            problems.append(
                f"{place}: there is no [[datasets.subsets]]; give at least one with an image_dir."
            )
            continue
        own = {key: value for key, value in dataset.items() if key != "subsets"}
        inherited = {**_named(config), **general, **own}
        found += [Subset(f"{place}.subsets[{i}]", {**inherited, **entry}) for i, entry in enumerate(inner)]
    return found


def _named(config: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration's data keys under the names of data set files."""
    other = {"train_batch_size": "batch_size", "dataset_repeats": "num_repeats"}
    return {other.get(key, key): value for key, value in config.items()}


def common(found: list[Subset], unmet: list[tuple[str, str]]) -> dict[str, Any]:
    """What all training subsets say alike; of what differs the first one's, and that is told."""
    pictured = [subset for subset in found if subset.image_dir] or found
    train = [subset for subset in pictured if not subset.is_reg] or pictured
    keys = dict.fromkeys(key for subset in train for key in subset.values if key not in _OWN)
    values: dict[str, Any] = {}
    for key in keys:
        said = [subset.values.get(key) for subset in train]
        alike = all(value == said[0] for value in said)
        if not alike and key in _RULES:
            continue
        values[key] = next((value for value in said if value is not None), None)
        if not alike:
            shown = ", ".join(f"{subset.name} {value}" for subset, value in zip(train, said, strict=True))
            unmet.append((key, f"must be the same for all subsets, {values[key]} is taken ({shown})"))
    return values


def of_folders(s: Settings, folder: Path) -> Images:
    """Sets the image folder and the regularisation folder of a configuration."""
    train, reg = s.text("train_data_dir"), s.text("reg_data_dir")
    if not train:
        s.problems.append(
            "train_data_dir is missing, and there is no data set file: give one of them, or add --images."
        )
        return Images(0, False)
    place = located(train, folder)
    s.put("data.folder", str(place), "train_data_dir")
    found = _sources(s, place, "train_data_dir")
    if reg and list(_sources(s, located(reg, folder), "reg_data_dir")):
        s.put("data.reg_folder", str(located(reg, folder)), "reg_data_dir")
    repeats = s.whole("dataset_repeats")
    if repeats is not None and repeats != 1:
        s.refuse("dataset_repeats", "no effect here (the folders' names say how often images are repeated)")
    return Images(sum(len(source.images) * source.repeats for source in found), bool(reg))


def of_subsets(s: Settings, found: list[Subset], folder: Path) -> Images:
    """Sets the images of a data set file: as N_name folders where they say the same, else as concepts."""
    usable = [subset for subset in found if _usable(s, subset, folder)]
    train, reg = ([x for x in usable if x.is_reg is kind] for kind in (False, True))
    if not train:
        if not s.problems:
            why = "".join(f"; {unmet}" for unmet in s.unmet)
            s.problems.append(f"the data set file has no subset of training images that can be used{why}.")
        return Images(0, False)
    places = {x.name: located(x.image_dir, folder) for x in usable}
    repeats = {x.name: _repeats(s, x) for x in usable}
    shown = sum(_count(s, x, places[x.name], folder) * repeats[x.name] for x in train)
    parent = _parent([places[x.name] for x in reg]) if _conventional(reg, places) else None
    if parent and _proportional([repeats[x.name] for x in reg], [places[x.name] for x in reg]):
        s.put("data.reg_folder", str(parent), "is_reg")
        reg = []
    multiple = _multiple(train, places, repeats)
    if multiple is not None and not reg and not _ruled(train) and not any(x.metadata for x in train):
        parents = list(dict.fromkeys(places[x.name].parent for x in train))
        s.put("data.folder", str(parents[0]), "image_dir")
        if parents[1:]:
            s.put("data.folders", [str(p) for p in parents[1:]], "image_dir")
        if multiple:
            s.put("data.repeats", multiple, "num_repeats")
        return Images(shown, bool(s.plan.get("data.reg_folder")))
    concepts = [_concept(x, places[x.name], repeats[x.name], _ruled(train)) for x in train]
    for concept, subset in zip(concepts, train, strict=True):
        if subset.metadata:
            concept["metadata_file"] = str(located(subset.metadata, folder))
    _attach(s, concepts, reg, places, repeats)
    return Images(shown, bool(reg) or "data.reg_folder" in s.plan, concepts)


def _usable(s: Settings, subset: Subset, folder: Path) -> bool:
    if subset.text("conditioning_data_dir"):
        images = "its images are trained on as a whole" if subset.image_dir else "the subset is left out"
        s.refuse(f"{subset.name}.conditioning_data_dir", f"not supported, {images}")
        if not subset.image_dir:
            return False
    if not subset.image_dir:
        got = subset.values.get("image_dir")
        s.problems.append(f"{subset.name}: image_dir must be a folder, but got {got!r}.")
        return False
    place = located(subset.image_dir, folder)
    if not place.is_dir() or not image_files(place):
        found = "holds no image" if place.is_dir() else "does not exist"
        s.problems.append(f"{subset.name}: image_dir {place} {found}.")
        return False
    return True


def _count(s: Settings, subset: Subset, place: Path, folder: Path) -> int:
    """How many images of a folder it shows."""
    images = image_files(place)
    if not subset.metadata:
        return len(images)
    file = located(subset.metadata, folder)
    try:
        return len(caption_table.needed(file, images))
    except ValueError as error:
        s.problems.append(f"{subset.name}: metadata_file {file} {error}.")
        return 0


def _repeats(s: Settings, subset: Subset) -> int:
    value = subset.values.get("num_repeats", 1)
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        s.problems.append(
            f"{subset.name}: num_repeats must be a whole number of at least 1, but got {value!r}."
        )
        return 1
    return value


def _words(place: Path) -> str | None:
    """The class words of a folder N_name; None if that is not its name."""
    number, _, name = place.name.partition("_")
    return name.replace("_", " ") if number.isdecimal() and int(number) and name else None


def _conventional(some: list[Subset], places: Mapping[str, Path]) -> bool:
    """Whether subsets are all the N_name folders of their parents, with the folders' own class words."""
    given = {places[x.name] for x in some}
    parents = {place.parent for place in given}
    theirs = {child for p in parents for child in p.iterdir() if child.is_dir() and child.name[0] != "."}
    words = all(
        (own := _words(places[x.name])) is not None and x.values.get("class_tokens") in (None, "", own)
        for x in some
    )
    loose = any(image_files(parent) for parent in parents)
    return bool(some) and len(given) == len(some) and words and not loose and given == theirs


def _parent(places: list[Path]) -> Path | None:
    parents = {place.parent for place in places}
    return parents.pop() if len(parents) == 1 else None


def _numbers(places: list[Path]) -> list[int]:
    return [int(place.name.partition("_")[0]) for place in places]


def _proportional(repeats: list[int], places: list[Path]) -> bool:
    numbers = _numbers(places)
    return all(a * numbers[0] == b * repeats[0] for a, b in zip(repeats, numbers, strict=True))


def _multiple(train: list[Subset], places: Mapping[str, Path], repeats: Mapping[str, int]) -> int | None:
    """``data.repeats`` under which the folders are shown as asked; 0: the names say it; None: there is none."""
    folders = [places[x.name] for x in train]
    if not _conventional(train, places):
        return None
    asked, numbers = [repeats[x.name] for x in train], _numbers(folders)
    if asked == numbers:
        return 0
    return math.gcd(*asked) if _proportional(asked, folders) else None


def _ruled(train: list[Subset]) -> bool:
    """Whether captions are handled otherwise in one subset than in another."""
    return any(len({repr(x.values.get(key)) for x in train}) > 1 for key in _RULES)


def _concept(subset: Subset, place: Path, repeats: int, ruled: bool) -> dict[str, Any]:
    concept: dict[str, Any] = {"instance_data_dir": str(place), "repeats": repeats}
    words = subset.values.get("class_tokens") or _words(place)
    if words:
        concept["instance_prompt"] = words
    if ruled:
        said = {ours: subset.values.get(key) for key, ours in _RULES.items()}
        concept |= {key: value for key, value in said.items() if value is not None}
    return concept


def _attach(
    s: Settings,
    concepts: list[dict[str, Any]],
    reg: list[Subset],
    places: Mapping[str, Path],
    repeats: Mapping[str, int],
) -> None:
    """Regularisation subsets become class images of the concepts, in their order."""
    for concept, subset in zip(concepts, reg, strict=False):
        concept["class_data_dir"] = str(places[subset.name])
        if words := subset.values.get("class_tokens"):
            concept["class_prompt"] = words
    for subset in reg[len(concepts) :]:
        s.refuse(
            f"{subset.name}", "more regularisation than training subsets is not supported, it is left out"
        )
    if len({repeats[x.name] for x in reg}) > 1:
        s.refuse("num_repeats", "of regularisation images is not supported, each is shown equally often")


def _sources(s: Settings, place: Path, key: str) -> list[ImageFolder]:
    problems: list[str] = []
    found = list(in_folder(place, problems)) if place.is_dir() else []
    if not place.is_dir():
        problems.append(f"{place}: there is no such folder; another one can be given with --images.")
    elif not found and not problems:
        problems.append(f"{place}: the folder holds no sub-folder named N_name, e.g. 10_{place.name}.")
    s.problems += [f"{key}: {problem}" for problem in problems]
    return found
