"""``lorasearch export``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from studies.text.terminal import tell

if TYPE_CHECKING:
    from studies.study.open import ReadOnlyStudy
    from trainer.plan import TrainingPlan

Layout = Literal["kohya", "diffusers", "peft"]
_SUFFIX = ".safetensors"


@click.command(name="export")
@click.argument("workspace", type=click.Path(path_type=Path))
@click.argument("dest", type=click.Path(path_type=Path))
@click.option("--name", help="Name of the file in a folder.  [default: the study's name]")
@click.option(
    "--format",
    "layout",
    type=click.Choice(["kohya", "diffusers", "peft"]),
    default="kohya",
    show_default=True,
    help="kohya for A1111, Forge and ComfyUI; diffusers for its pipelines; peft writes a folder.",
)
@click.option("--sd-scripts", is_flag=True, help="Write its recipe as sd-scripts' TOML files instead.")
@click.option("--force", is_flag=True, help="Overwrite another file of that name.")
def command(
    workspace: Path, dest: Path, name: str | None, layout: Layout, sd_scripts: bool, force: bool
) -> None:
    """Copy the best LoRA file of WORKSPACE to DEST, a folder or a file name.

    \b
    Examples:
      lorasearch export workspaces/quickstart ~/webui/models/Lora
      lorasearch export workspaces/quickstart ~/ComfyUI/models/loras --name my-character
      lorasearch export workspaces/quickstart ./my-character.safetensors
      lorasearch export workspaces/quickstart ./loras --format peft
      lorasearch export workspaces/quickstart ./kohya --sd-scripts
    """
    from studies.report.usage import advice
    from studies.study.open import open_readonly, reading
    from trainer.lora_files.file import read_metadata

    study = open_readonly(workspace)
    source = _best(study)
    if sd_scripts:
        _write_recipe(source, dest.expanduser(), name or study.spec.study.name, force)
        return
    target = _target(dest.expanduser(), name, study.spec.study.name, layout)
    with reading():
        facts = read_metadata(source)
        if layout == "kohya":
            _copy(source, target, force)
        else:
            _convert(source, target, layout, facts, force)
    tell(f"Copied to {target}")
    tell(f"Use strength 1 with the base model {study.spec.plan['base']['path']}.")
    tell(advice(facts))


def _copy(source: Path, target: Path, force: bool) -> None:
    """A file, or a folder file by file."""
    from studies.workspace import copy_whole

    files = {target: source}
    if source.is_dir():
        files = {target / file.relative_to(source): file for file in source.rglob("*") if file.is_file()}
    for place, file in files.items():
        if place.exists() and not force and not _same(file, place):
            _refuse(place)
    for place, file in files.items():
        copy_whole(file, place)


def _convert(source: Path, target: Path, layout: Layout, facts: dict[str, str], force: bool) -> None:
    from tempfile import TemporaryDirectory

    from studies.errors import StudyError
    from trainer.bases.errors import BaseModelError
    from trainer.lora_files.conversion import convert
    from trainer.lora_files.layers import LoraFileError

    base = _plan(source, facts).base
    with TemporaryDirectory() as folder:
        made = Path(folder) / "lora"
        try:
            convert(source, made, layout, base, facts)
        except (BaseModelError, LoraFileError) as error:
            raise StudyError(str(error)) from error
        _copy(made, target, force)


def _write_recipe(source: Path, folder: Path, name: str, force: bool) -> None:
    """Two TOML files in ``folder``."""
    from studies.errors import StudyError
    from studies.sd_scripts.exporting import export
    from studies.study.open import reading
    from trainer.files import write_whole
    from trainer.lora_files.file import read_metadata

    _target(folder, name, name, "peft")
    with reading():
        facts = read_metadata(source)
        plan = _plan(source, facts)
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
            tell(f"Wrote {path}")


def _plan(source: Path, facts: dict[str, str]) -> TrainingPlan:
    from studies.errors import StudyError
    from trainer.plan import TrainingPlan

    if "lorasearch_plan" not in facts:
        raise StudyError(f"{source}: the file does not say how it was trained.")
    return TrainingPlan.model_validate_json(facts["lorasearch_plan"])


def _best(study: ReadOnlyStudy) -> Path:
    from studies.errors import StudyError

    workspace = study.workspace
    if not workspace.selection.exists():
        raise StudyError(
            f"{workspace.root}: this study has no verdict yet, so there is no best file; "
            "`lorasearch run` goes on, `lorasearch select` shows the choice so far."
        )
    if not workspace.best.exists():
        raise StudyError(f"{workspace.best}: the best file is missing; `lorasearch run` writes it again.")
    return workspace.best


def _target(dest: Path, name: str | None, study: str, layout: Layout) -> Path:
    """``dest`` itself if it ends in .safetensors, else a file (for PEFT a folder) in that folder."""
    from studies.errors import StudyError
    from studies.spec.paths import file_problem

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
    from studies.errors import StudyError

    raise StudyError(
        f"{target}: another file is there already; choose another --name, or add --force to overwrite it."
    )
