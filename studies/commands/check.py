"""What is wrong with single images of a study: what ``check`` lists and shows in a sheet."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from studies.spec.study_file import StudySpec
from trainer.data.buckets import cover
from trainer.data.dataset import Dataset
from trainer.data.folders import ImageFolder, in_concepts, in_folder
from trainer.data.images import DataError, formats_of, open_rgb
from trainer.data.quality import BLURRED_BELOW, NOTICEABLE_ENLARGEMENT, sharpness
from trainer.data.split import MAX_DIFFERENT_BITS, Look, look, near_duplicates

_PLAIN_MODES = ("RGB", "L")
_ORIENTATION = 0x0112
"""The EXIF tag."""


@dataclass(frozen=True, slots=True)
class ImageFinding:
    """One thing that is to be known of one image."""

    kind: str
    """broken, duplicate, leak, blurred, small, uncaptioned, "empty caption", "no trigger" or converted."""
    path: Path
    said: str
    """A few words, to stand under the picture."""

    def to_json(self) -> dict[str, str]:
        """JSON values."""
        return {"kind": self.kind, "file": str(self.path), "problem": self.said}


@dataclass(frozen=True, slots=True)
class Sight:
    """What one reading of a picture gives."""

    plain: Look
    mirrored: Look
    sharpness: float
    converted: str | None
    """Why it is not taken as it is."""


def sights(dataset: Dataset) -> list[Sight]:
    """Looks at every image of a data set; one is in memory at a time."""
    return [_sight(example.path) for example in dataset.examples]


def findings(dataset: Dataset, seen: Sequence[Sight], trigger: str) -> list[ImageFinding]:
    """Everything that is to be known of single images (pure).

    Args:
        dataset: split.
        seen: of each example.
        trigger: words that should stand in every caption; empty for none.
    """
    return [
        *_leaks(dataset, seen),
        *_duplicates(dataset),
        *_pictures(dataset, seen),
        *_captions(dataset, trigger),
    ]


def broken(spec: StudySpec) -> list[ImageFinding]:
    """The images of a study that cannot be opened."""
    found = []
    for path in dict.fromkeys(path for source in _sources(spec) for path in source.images):
        try:
            open_rgb(path)
        except DataError as error:
            reason = error.problems[0].removeprefix(f"{path}: ")
            found.append(ImageFinding("broken", path, reason.partition(";")[0]))
    return found


def by_image(found: Sequence[ImageFinding]) -> dict[Path, list[str]]:
    """What is said of each image, in the order of the findings."""
    gathered: dict[Path, list[str]] = {}
    for finding in found:
        gathered.setdefault(finding.path, []).append(finding.said)
    return gathered


def told(found: Sequence[ImageFinding]) -> Iterator[str]:
    """Sentences on the kinds that reading a data set does not warn of."""
    of: dict[str, list[ImageFinding]] = {}
    for finding in found:
        of.setdefault(finding.kind, []).append(finding)
    for leak in of.get("leak", ()):
        yield f"{leak.path}: {leak.said}; remove one of the two, or held-out figures look better than they are."
    if lacking := of.get("no trigger"):
        names = ", ".join(finding.path.name for finding in lacking[:3])
        more = f" and {len(lacking) - 3} more" if len(lacking) > 3 else ""
        yield f"{names}{more}: {lacking[0].said}; add it, so that the LoRA answers to it."
    if turned := of.get("converted"):
        yield (
            f"{turned[0].path.name}{f' and {len(turned) - 1} more' if len(turned) > 1 else ''}: {turned[0].said}; "
            "they are converted when they are read."
        )


def _sight(path: Path) -> Sight:
    picture = open_rgb(path)
    with Image.open(path, formats=formats_of(path)) as raw:
        mode, turned = raw.mode, raw.getexif().get(_ORIENTATION, 1) != 1
    reasons = [f"mode {mode}"] * (mode not in _PLAIN_MODES) + ["EXIF rotation"] * turned
    return Sight(
        look(picture), look(ImageOps.mirror(picture)), sharpness(picture), " and ".join(reasons) or None
    )


def _leaks(dataset: Dataset, seen: Sequence[Sight]) -> Iterator[ImageFinding]:
    """Held-out images whose mirror image, or a regularisation image like them, is trained on."""
    split = dataset.split
    sides = {**dict.fromkeys(split.validation, "validation"), **dict.fromkeys(split.test, "test")}
    trained = (*split.train, *dataset.regularisation)
    if not sides or not trained:
        return
    signs = np.stack([seen[i].plain.signs for i in trained]).astype(np.int32)
    for held, side in sides.items():
        example = dataset.examples[held]
        for mirrored in (True, False):
            own = seen[held].mirrored if mirrored else seen[held].plain
            different = (signs != own.signs[None]).sum(axis=1)
            for place in np.flatnonzero(different <= MAX_DIFFERENT_BITS):
                other = trained[int(place)]
                if near_duplicates(own, seen[other].plain):
                    how = "is a mirror image of" if mirrored else "looks like"
                    name = dataset.examples[other].path.name
                    yield ImageFinding(
                        "leak",
                        example.path,
                        f"{how} {name}, which is trained on; this one is to {_verb(side)}",
                    )


def _verb(side: str) -> str:
    return "validate" if side == "validation" else "test"


def _duplicates(dataset: Dataset) -> Iterator[ImageFinding]:
    for group in dataset.together:
        for i in group[1:]:
            yield ImageFinding(
                "duplicate", dataset.examples[i].path, f"looks like {dataset.examples[group[0]].path.name}"
            )


def _pictures(dataset: Dataset, seen: Sequence[Sight]) -> Iterator[ImageFinding]:
    for i, example in enumerate(dataset.examples):
        if seen[i].sharpness < BLURRED_BELOW:
            yield ImageFinding(
                "blurred",
                example.path,
                f"blurred: sharpness {seen[i].sharpness:.0f}, {BLURRED_BELOW:.0f} is wanted",
            )
        factor = cover(example.size, dataset.sizes[i])[0] / example.size[0]
        if factor > NOTICEABLE_ENLARGEMENT:
            width, height = example.size
            yield ImageFinding(
                "small", example.path, f"too small: {width} x {height} is enlarged {factor:.2g} times"
            )
        if reason := seen[i].converted:
            yield ImageFinding("converted", example.path, reason)


def _captions(dataset: Dataset, trigger: str) -> Iterator[ImageFinding]:
    for i, example in enumerate(dataset.examples):
        if not example.captioned:
            yield ImageFinding("uncaptioned", example.path, "no caption file")
        elif not example.caption:
            yield ImageFinding("empty caption", example.path, "the caption is empty")
        if (
            trigger
            and i not in dataset.regularisation
            and trigger.casefold() not in example.caption.casefold()
        ):
            yield ImageFinding("no trigger", example.path, f"no '{trigger}' in the caption")


def _sources(spec: StudySpec) -> list[ImageFolder]:
    data = spec.shared_plan.data
    problems: list[str] = []
    folders = [folder for folder in (data.folder, *data.folders, data.reg_folder) if folder is not None]
    found = [source for folder in folders for source in in_folder(folder, problems)]
    if data.concepts is not None:
        found += in_concepts(data.concepts, problems)
    return found


def counts(found: Sequence[ImageFinding]) -> Mapping[str, int]:
    """How many of each kind."""
    return Counter(finding.kind for finding in found)
