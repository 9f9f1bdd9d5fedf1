"""``lorasearch check``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from studies.text.terminal import tell

if TYPE_CHECKING:
    from collections.abc import Sequence

    from studies.commands.check import ImageFinding
    from studies.spec.study_file import StudySpec
    from trainer.data.dataset import Dataset


@click.command(name="check")
@click.argument("study_file", type=click.Path(path_type=Path))
@click.option(
    "--trigger",
    default="",
    help="Words that should stand in every caption.  [default: the commonest first tag, if half begin with it]",
)
@click.option(
    "--sheet",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write a contact sheet of the images with problems to this PNG.  [default: none]",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object for scripts.")
def command(study_file: Path, trigger: str, sheet: Path | None, as_json: bool) -> None:
    """Check STUDY_FILE, its base model and its images; nothing is written but the sheet.

    Broken, small and blurred images, duplicates, captions that are missing, empty or without the trigger word, and
    held-out images that are trained on in a mirrored copy. Exit code 0 when training could start, 2 when something
    must be mended first.

    \b
    Examples:
      lorasearch check studies/library/quickstart.toml
      lorasearch check my-character.toml --trigger "sks girl" --sheet problems.png
      lorasearch check my-character.toml --json | jq .images.findings
    """
    from studies.commands import check
    from studies.errors import StudyError
    from studies.study.preflight import examine

    try:
        spec, dataset = examine(study_file)
    except StudyError as error:
        found = _broken(study_file)
        if sheet is not None and found:
            _write_sheet(sheet, found, err=True)
        if as_json:
            _print({"ready": False, "problems": error.problems, "images": _plain(found)})
            raise SystemExit(2) from error
        raise
    words = trigger or _commonest(dataset)
    found = check.findings(dataset, check.sights(dataset), words)
    if sheet is not None and found:
        _write_sheet(sheet, found, err=as_json)
    if as_json:
        facts = {"ready": True, "study": spec.study.name, "notes": _notes(dataset, found)}
        _print(facts | {"trigger": words or None, "images": _sides(dataset) | _plain(found)})
        return
    _tell(spec, dataset, found, trigger)
    if sheet is not None and not found:
        tell(f"No image has a problem, so {sheet} is not written.")


def _broken(study_file: Path) -> list[ImageFinding]:
    """The images that cannot be opened; none if the study file itself is at fault."""
    from studies.commands import check
    from studies.errors import StudyError
    from studies.spec.study_file import load

    try:
        return check.broken(load(study_file))
    except StudyError:
        return []


def _tell(spec: StudySpec, dataset: Dataset, found: Sequence[ImageFinding], trigger: str) -> None:
    from trainer.data.quality import covered

    for note in _notes(dataset, found):
        tell(f"note: {note}")
    split = dataset.split
    own, different = dataset.own, len(dataset.together)
    alike = f" ({different} different ones)" if different < len(own) else ""
    tell(
        f"{spec.study.name}: {len(own)} images{alike}, of which {len(split.train)} train, "
        f"{len(split.validation)} validate and {len(split.test)} test."
    )
    if dataset.regularisation:
        tell(f"{len(dataset.regularisation)} regularisation images.")
    sizes = sorted({dataset.sizes[i] for i in split.train})
    tell(f"Training sizes: {', '.join(f'{width} x {height}' for width, height in sizes)}.")
    if words := trigger or _commonest(dataset):
        there = covered([example.caption for example in own], words)
        tell(f"'{words}' stands in {there} of {len(own)} captions.")
    tell("Nothing stands in the way of training.")


def _notes(dataset: Dataset, found: Sequence[ImageFinding]) -> list[str]:
    from studies.commands.check import told

    return [*dataset.warnings, *told(found)]


def _commonest(dataset: Dataset) -> str:
    from studies.commands.trigger import trigger

    found = trigger([example.caption for example in dataset.own])
    return found.words if found else ""


def _sides(dataset: Dataset) -> dict[str, int]:
    split = dataset.split
    return {
        "train": len(split.train),
        "validation": len(split.validation),
        "test": len(split.test),
        "regularisation": len(dataset.regularisation),
    }


def _plain(found: Sequence[ImageFinding]) -> dict[str, Any]:
    from studies.commands.check import counts

    return {"counts": dict(counts(found)), "findings": [finding.to_json() for finding in found]}


def _write_sheet(path: Path, found: Sequence[ImageFinding], err: bool) -> None:
    from studies.commands.check import by_image
    from studies.errors import StudyError
    from studies.images import problem_sheet, save_png

    problems = by_image(found)
    try:
        save_png(path, problem_sheet(problems))
    except OSError as error:
        raise StudyError(f"{path}: the sheet cannot be written ({error.strerror}).") from error
    tell(f"{len(problems)} images with problems: {path}", err=err)


def _print(facts: dict[str, Any]) -> None:
    import json

    click.echo(json.dumps(facts, indent=2, ensure_ascii=False))
