"""Hands the best LoRA file of a study over: in another trainer's layout, or as its recipe."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

from pydantic import ValidationError

from studies.errors import StudyError
from studies.sd_scripts.exporting import export
from studies.selection import document
from studies.spec.paths import file_problem
from studies.study.open import ReadOnlyStudy, reading
from studies.workspace import copy_whole
from trainer.bases.errors import BaseModelError
from trainer.files import write_whole
from trainer.lora_files.conversion import convert
from trainer.lora_files.file import LoraFileError, read_metadata, relabelled
from trainer.plan import TrainingPlan
from trainer.plan_paths import KEY, with_folders, without_folders

Layout = Literal["kohya", "diffusers", "peft"]
_SUFFIX = ".safetensors"


def write_lora(
    source: Path, target: Path, layout: Layout, places: TrainingPlan, force: bool
) -> dict[str, str]:
    """Copies or converts a LoRA file.

    Args:
        source: the file.
        target: a file, for PEFT a folder.
        layout: of the copy.
        places: the study's plan, which knows the folders that the file does not name.
        force: whether another file of that name is overwritten.

    Returns:
        What the file says of itself.

    Raises:
        StudyError: the name is taken, or the file cannot be converted.
    """
    with reading(), TemporaryDirectory() as folder:
        facts = read_metadata(source)
        private, made = _private(facts), Path(folder) / "lora"
        if layout != "kohya":
            _convert(source, made, layout, _plan(source, facts, places), private)
        elif private != facts:
            write_whole(made, relabelled(source, private))
        _copy(made if made.exists() else source, target, force)
    return private


def _private(facts: dict[str, str]) -> dict[str, str]:
    """Metadata without folders, which plans of older versions hold."""
    if KEY not in facts:
        return facts
    try:
        plan = TrainingPlan.model_validate_json(facts[KEY])
    except ValidationError:
        return {key: text for key, text in facts.items() if key != KEY}
    return {**facts, KEY: without_folders(plan).model_dump_json()}


def _copy(source: Path, target: Path, force: bool) -> None:
    """A file, or a folder file by file."""
    files = {target: source}
    if source.is_dir():
        files = {target / file.relative_to(source): file for file in source.rglob("*") if file.is_file()}
    for place, file in files.items():
        if place.exists() and not force and not _same(file, place):
            _refuse(place)
    for place, file in files.items():
        copy_whole(file, place)


def _convert(source: Path, made: Path, layout: Layout, plan: TrainingPlan, facts: dict[str, str]) -> None:
    try:
        convert(source, made, layout, plan.base, facts)
    except (BaseModelError, LoraFileError) as error:
        raise StudyError(str(error)) from error


def write_recipe(source: Path, folder: Path, name: str, places: TrainingPlan, force: bool) -> Iterator[Path]:
    """The recipe of a LoRA file as two TOML files of sd-scripts.

    Args:
        source: the LoRA file.
        folder: where they go.
        name: what their names begin with.
        places: the study's plan, which knows the folders that the file does not name.
        force: whether other files of these names are overwritten.

    Yields:
        Each file that has been written.

    Raises:
        StudyError: a name cannot be had, or the file does not say how it was trained.
    """
    target_of(folder, name, name, "peft")
    with reading():
        facts = read_metadata(source)
        plan = _plan(source, facts, places)
        paths = folder / f"{name}.config.toml", folder / f"{name}.dataset.toml"
        made = export(plan, facts, name, paths[1].name)
        texts = dict(zip(paths, (made.config, made.dataset), strict=True))
        for path, text in texts.items():
            if path.exists() and not force and path.read_text(encoding="utf-8") != text:
                _refuse(path)
        for path, text in texts.items():
            try:
                write_whole(path, text.encode())
            except OSError as error:
                raise StudyError(f"{path}: cannot be written ({error.strerror}).") from error
            yield path


def _plan(source: Path, facts: dict[str, str], places: TrainingPlan) -> TrainingPlan:
    if KEY not in facts:
        raise StudyError(f"{source}: the file does not say how it was trained.")
    try:
        plan = TrainingPlan.model_validate_json(facts[KEY])
    except ValidationError as error:
        raise StudyError(
            f"{source}: the plan that this file holds is none that this version understands; "
            "export with the version that trained it."
        ) from error
    return with_folders(plan, places)


def best_file(study: ReadOnlyStudy, anyway: bool = False) -> Path:
    """The file that the study chose.

    Args:
        study: opened.
        anyway: whether it may be one that nobody should use.

    Raises:
        StudyError: there is none, or its own test speaks against it.
    """
    workspace = study.workspace
    selection = document.read(workspace)
    if selection is None:
        raise StudyError(
            f"{workspace.root}: this study has no verdict yet, so there is no best file; "
            "`lorasearch run` goes on, `lorasearch select` shows the choice so far."
        )
    if selection.refused and not anyway:
        raise StudyError(
            f"{workspace.root}: {selection.summary} `lorasearch export --anyway` hands the file over all the same."
        )
    if not workspace.best.exists():
        raise StudyError(f"{workspace.best}: the best file is missing; `lorasearch run` writes it again.")
    return workspace.best


def target_of(dest: Path, name: str | None, study: str, layout: Layout) -> Path:
    """``dest`` itself if it ends in .safetensors, else a file (for PEFT a folder) in that folder.

    Args:
        dest: as on the command line.
        name: of the file; None takes the study's.
        study: its name.
        layout: PEFT's is a folder.

    Raises:
        StudyError: no such name can be had.
    """
    if name is not None and (problem := file_problem(name)):
        raise StudyError(f"--name must be a plain file name, but got {name[:80]!r}: {problem}.")
    if dest.suffix == _SUFFIX and not dest.is_dir():
        if name is not None:
            raise StudyError(f"{dest} names a file already; leave --name out, or give a folder.")
        if layout == "peft":
            raise StudyError(f"{dest} names a file, but PEFT's format is a folder; give a folder.")
        return dest
    if dest.exists() and not dest.is_dir():
        raise StudyError(
            f"{dest}: this is a file, but not a {_SUFFIX} one; give a folder or a {_SUFFIX} name."
        )
    stem = (name or study).removesuffix(_SUFFIX)
    return dest / (stem if layout == "peft" else stem + _SUFFIX)


def _same(first: Path, second: Path) -> bool:
    import filecmp

    return filecmp.cmp(first, second, shallow=False)


def _refuse(target: Path) -> None:
    raise StudyError(
        f"{target}: another file is there already; choose another --name, or add --force to overwrite it."
    )
