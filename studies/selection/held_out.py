"""On which images LoRAs are judged that were trained elsewhere, and whether they may have seen them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from search.trial import Reason
from studies.selection.lora_names import Facts
from studies.spec.image_folders import data_plan
from trainer.data import dataset as datasets
from trainer.data.dataset import Dataset
from trainer.data.images import DataError
from trainer.data.split import Split, split
from trainer.plan_paths import KEY

SHARES = (0.15, 0.15)
"""Validation and test share, as a study's."""
_THIRDS = (1 / 3, 1 / 3)
_ENOUGH = 6
"""Groups of images never trained on, from which on a third of them is kept for the test."""


@dataclass(frozen=True, slots=True)
class HeldOut:
    """Images with their sides, and what their owner should know."""

    dataset: Dataset
    warnings: tuple[Reason, ...]
    never_trained_on: bool
    """Whether it is certain that no LoRA has seen the validation and test images."""


def read(
    data: Path, apart: Path | None, facts: Sequence[Facts], resolution: int, seed: int | None
) -> HeldOut:
    """Reads and splits the images.

    Args:
        data: folder of the training images.
        apart: folder of images never trained on; None splits ``data`` as a study does.
        facts: metadata of the LoRA files.
        resolution: side of the training square in pixels.
        seed: of the split; None takes that of the study that made the files, else 0.

    Raises:
        DataError: with all problems.
    """
    folders = [data] if apart is None else [data, apart]
    seeds = [seed] if seed is not None else list(dict.fromkeys([*_seeds(facts), 0]))
    with data_plan(folders, resolution) as plan:
        dataset = datasets.read(plan, SHARES, seeds[0])
        if apart is not None:
            return _apart(dataset, apart, facts, seeds[0])
        for other in seeds:
            found = datasets.read(plan, SHARES, other) if other != seeds[0] else dataset
            if _held_out_by(found, facts):
                return HeldOut(found, _told(found), True)
    return HeldOut(dataset, (*_told(dataset), _warning(dataset, facts)), False)


def _apart(dataset: Dataset, apart: Path, facts: Sequence[Facts], seed: int) -> HeldOut:
    """Judges on one folder alone, but for what looks like an image of the other."""
    root = apart.resolve()
    inside = {i for i, e in enumerate(dataset.examples) if e.path.resolve().is_relative_to(root)}
    ours = [group for group in dataset.together if inside.issuperset(group)]
    mixed = [group for group in dataset.together if not inside.isdisjoint(group) and group not in ours]
    train = tuple(i for i in range(len(dataset.examples)) if i not in inside)
    if not ours or not train:
        what = "every image there is also in the training folder" if train else "the two folders are the same"
        raise DataError([f"{apart}: {what}; --held-out wants images that were never trained on."])
    members = sorted(group[0] for group in ours)
    test = _tested(dataset, ours, members, seed) if len(ours) >= _ENOUGH else ()
    sides = Split(train, tuple(i for i in members if i not in test), test)
    warnings = list(_told(dataset))
    if left := [i for group in mixed for i in group if i in inside]:
        names = ", ".join(dataset.examples[i].path.name for i in left[:3])
        warnings.append(Reason("held_out_alike", {"names": names, "count": len(left)}))
    known = _known(dataset, sides, facts)
    if known:
        names = ", ".join(dataset.examples[i].path.name for i in known[:3])
        warnings.append(Reason("held_out_listed", {"names": names, "count": len(known)}))
    return HeldOut(replace(dataset, split=sides), tuple(warnings), not known)


def _known(dataset: Dataset, sides: Split, facts: Sequence[Facts]) -> list[int]:
    """Held-out images whose own tags stand in the files' lists of what they were trained on."""
    listed = {tag for entry in facts for tag in _listed(entry)} - set(_tags(dataset, sides.train))
    return [i for i in (*sides.validation, *sides.test) if listed.intersection(_tags(dataset, (i,)))]


def _tested(
    dataset: Dataset, ours: Sequence[Sequence[int]], members: Sequence[int], seed: int
) -> tuple[int, ...]:
    """A third of the images, by content, as a study takes its test side."""
    place = {i: k for k, i in enumerate(members)}
    contents = [dataset.examples[i].content for i in members]
    dealt = split(contents, [[place[group[0]]] for group in ours], _THIRDS, seed)
    return tuple(members[k] for k in dealt.test)


def _seeds(facts: Sequence[Facts]) -> Iterator[int]:
    """The seeds of the studies that made the files."""
    for entry in facts:
        try:
            yield int(json.loads(entry.get(KEY, "{}"))["seed"])
        except (ValueError, KeyError, TypeError):
            continue


def _held_out_by(dataset: Dataset, facts: Sequence[Facts]) -> bool:
    """Whether every file was trained on the training side alone, by the tags that it lists."""
    train = _tags(dataset, dataset.split.train)
    return bool(facts) and all(KEY in entry and _listed(entry) == train for entry in facts)


def _told(dataset: Dataset) -> tuple[Reason, ...]:
    return tuple(map(Reason.told, dataset.warnings))


def _warning(dataset: Dataset, facts: Sequence[Facts]) -> Reason:
    count = len(dataset.split.validation) + len(dataset.split.test)
    everything = _tags(dataset, range(len(dataset.examples)))
    certain = any(_listed(entry) == everything for entry in facts)
    return Reason("held_out_trained_on" if certain else "held_out_maybe_trained_on", {"count": count})


def _tags(dataset: Dataset, which: Sequence[int]) -> Counter[str]:
    return Counter(
        tag.strip() for i in which for tag in dataset.examples[i].caption.split(",") if tag.strip()
    )


def _listed(entry: Facts) -> Counter[str]:
    """Tags over all folders, as ``ss_tag_frequency`` counts them."""
    found: Counter[str] = Counter()
    try:
        folders: Mapping[str, Mapping[str, Any]] = json.loads(entry.get("ss_tag_frequency", "{}"))
        for tags in folders.values():
            found.update({str(tag): int(count) for tag, count in tags.items() if str(tag)})
    except (ValueError, AttributeError, TypeError):
        return Counter()
    return found
