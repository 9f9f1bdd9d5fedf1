"""Writes a first study file, fitted to a folder of images and a base model."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from studies.commands import init_choices, init_flows
from studies.commands.init_choices import Ground, Line
from studies.commands.init_ground import fitted, survey_base
from studies.commands.survey import Survey, survey
from studies.errors import StudyError
from studies.spec import study_file
from studies.spec.image_folders import concept
from studies.spec.paths import study_name
from studies.spec.subjects import weights
from studies.spec.toml import comment, key, value
from trainer.files import write_whole

SEED = 7
_WEIGHED = {
    "validation": "loss on held-out images, against the base model's",
    "clip_image": "likeness of renders to held-out images",
    "style": "how far renders are drawn from how your images are",
}
_WIDTH = 120


@dataclass(frozen=True, slots=True)
class Started:
    """What was written, and what it rests on."""

    study: Path
    survey: Survey
    ground: Ground
    guessed: bool
    """Whether the base model's family was read from its name alone."""
    resolution: int
    """Pixels."""


def start(folder: Path, base: str, clip: str, out: Path | None, gpu_minutes: float | None) -> Started:
    """Looks at the images and writes the study file, and a listing of a flat folder beside it.

    Raises:
        StudyError: the base or the images cannot be used, or a file is there already.
        DataError: with every problem of the images.
    """
    ground, guessed = survey_base(base)
    found = survey(folder.resolve(), ground.side, SEED)
    if not guessed:
        ground = fitted(found, ground, clip)
    name = study_name(folder.resolve().name)
    target = out or Path(f"{name}.toml")
    listing = target.with_suffix(".concepts.json") if found.flat else None
    for path in (target, listing):
        if path is not None and path.exists():
            raise StudyError(
                f"{path}: there is a file already, which is not overwritten; choose another --out."
            )
    content = text(found, ground, _clip(clip), target, listing, gpu_minutes)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if listing is not None:
            write_whole(listing, (json.dumps([concept(found.folder)], indent=2) + "\n").encode())
        study_file.parse(content, target.parent.resolve(), str(target))
        write_whole(target, content.encode())
    except OSError as error:
        raise StudyError(f"{target}: cannot be written ({error.strerror}).") from error
    return Started(target, found, ground, guessed, init_choices.resolution(found, ground).value)


def text(
    found: Survey, ground: Ground, clip: str, target: Path, listing: Path | None, gpu_minutes: float | None
) -> str:
    """The commented study file (pure)."""
    folder = target.parent.resolve()
    wishes = init_flows if ground.family.flows else init_choices
    rendering = init_flows.rendering(ground) if ground.family.flows else ()
    base = Line("path", _near(ground.path, folder), f"{ground.family.title}, {ground.side} pixels")
    if listing is None:
        place = Line(
            "folder", _near(str(found.folder), folder), "sub-folders N_name with images and captions"
        )
    else:
        place = Line("concepts", listing.name, f"lists {found.folder}, which has no sub-folders N_name")
    fixed = [
        ("[plan.base]", [base]),
        ("[plan.data]", init_choices.data(found, ground, place)),
        ("[plan.schedule]", [Line("name", "constant_with_warmup", "steady, after a warm-up"), _warmup()]),
        ("[plan.compute]", init_choices.compute(ground)),
        ("[budget]", init_choices.budget(found, gpu_minutes)),
        (
            "[search]",
            [
                Line(
                    "sampler",
                    "gp",
                    "a Gaussian process over all trials so far; tpe, random and others are there too",
                ),
                _pruner(),
            ],
        ),
        ("[probe]", [Line("enabled", True, "finds a learning rate first, and centres its range there")]),
        ("[search.space]", wishes.space(found, ground)),
    ]
    counts = weights(found.subject.kind, ground.family.flows)
    judged = [
        ("[judge]", init_choices.judge(found, ground, _near(clip, folder), rendering)),
        ("[objective]", [Line(name, weight, _WEIGHED.get(name, "")) for name, weight in counts.items()]),
        ("[samples]", _samples(found)),
        ("[pack]", [Line("size", "auto", "trials trained at a time: measured when the study begins")]),
    ]
    study = [
        Line("name", study_name(found.folder.name), "names the workspace"),
        Line("seed", SEED, "everything random derives from it"),
    ]
    return (
        "".join(
            [
                comment(_head(found, target)),
                "\n",
                *(_section(header, lines) for header, lines in [("[study]", study), *fixed]),
                "# The guides' recipes are tried first: the search must beat them, and shows whether it did.\n",
                *(_section("[[first]]", _recipe(entry)) for entry in wishes.first(found, ground)),
                *(_section(header, lines) for header, lines in judged),
            ]
        ).rstrip("\n")
        + "\n"
    )


def _head(found: Survey, target: Path) -> list[str]:
    words = found.trigger
    trigger = (
        f"trigger word {words.words!r} in {words.captions}"
        if words
        else "no tag or word in most, so no trigger word"
    )
    widths, heights = (_span(sides) for sides in zip(*found.sizes, strict=True))
    return [
        f"{found.images} images, {widths} x {heights} pixels, {found.captioned} with captions, {trigger}.",
        f"Written by `lorasearch init`; next: `lorasearch check {target}`.",
    ]


def _span(sides: Sequence[int]) -> str:
    low, high = min(sides), max(sides)
    return str(low) if low == high else f"{low}-{high}"


def _section(header: str, lines: Sequence[Line]) -> str:
    return "\n".join([header, *map(_line, lines), "", ""])


def _line(line: Line) -> str:
    said = f"{key(line.key)} = {value(line.value)}"
    if not line.why:
        return said
    whole = f"{said}  # {line.why}"
    return whole if len(whole) <= _WIDTH else f"# {line.why}\n{said}"


def _recipe(entry: dict[str, Any]) -> list[Line]:
    return [Line(name, chosen, "") for name, chosen in entry.items()]


def _warmup() -> Line:
    return Line("warmup_share", 0.05, "the guides' 5 to 10 % of all steps")


def _pruner() -> Line:
    return Line(
        "pruner", {"name": "pace"}, "ends what could not win even if it went on improving as fast as now"
    )


def _samples(found: Survey) -> list[Line]:
    prompts = list(found.held_out[:2])
    return [Line("prompts", prompts, "pictures of `lorasearch train`; a search renders [judge]'s")]


def _near(path: str, folder: Path) -> str:
    """Relative to the study file where it lies below it; a hub name as it is."""
    given = Path(path)
    return given.relative_to(folder).as_posix() if given.is_relative_to(folder) else path


def _clip(name: str) -> str:
    local = Path(name).expanduser()
    return str(local.resolve()) if local.exists() else name
