"""``lorasearch export``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from studies.glance import Glance

_SUFFIX = ".safetensors"


@click.command(name="export")
@click.argument("workspace", type=click.Path(path_type=Path))
@click.argument("dest", type=click.Path(path_type=Path))
@click.option("--name", help="Name of the file in a folder.  [the study's name]")
@click.option("--force", is_flag=True, help="Overwrite another file of that name.")
def command(workspace: Path, dest: Path, name: str | None, force: bool) -> None:
    """Copy the best LoRA file of WORKSPACE to DEST, a folder or a file name.

    \b
    Examples:
      lorasearch export workspaces/quickstart ~/webui/models/Lora
      lorasearch export workspaces/quickstart ~/ComfyUI/models/loras --name my-character
      lorasearch export workspaces/quickstart ./my-character.safetensors
    """
    from studies.glance import glance, told
    from studies.usage import advice, metadata
    from studies.workspace import copy_whole

    study = glance(workspace)
    source = _best(study)
    target = _target(dest.expanduser(), name, study.spec.study.name)
    with told():
        if target.exists() and not force and not _same(source, target):
            _refuse(target)
        copy_whole(source, target)
        facts = metadata(source)
    click.echo(f"Copied to {target}")
    click.echo(f"Use strength 1 with the base model {study.spec.plan['base']['path']}.")
    click.echo(advice(facts))


def _best(study: Glance) -> Path:
    from studies.problems import StudyError

    workspace = study.workspace
    if not workspace.selection.exists():
        raise StudyError(
            f"{workspace.root}: this study has no verdict yet, so there is no best file; "
            "`lorasearch run` goes on, `lorasearch select` shows the choice so far."
        )
    if not workspace.best.exists():
        raise StudyError(f"{workspace.best}: the best file is missing; `lorasearch run` writes it again.")
    return workspace.best


def _target(dest: Path, name: str | None, study: str) -> Path:
    """``dest`` itself if it ends in .safetensors, else a file in that folder."""
    from studies.problems import StudyError

    if name is not None and (not name.strip() or Path(name).name != name):
        raise StudyError(f"--name must be a plain file name, but got {name!r}.")
    if dest.suffix == _SUFFIX and not dest.is_dir():
        if name is not None:
            raise StudyError(f"{dest} names a file already; leave --name out, or give a folder.")
        return dest
    if dest.exists() and not dest.is_dir():
        raise StudyError(
            f"{dest}: this is a file, but not a {_SUFFIX} one; give a folder or a {_SUFFIX} name."
        )
    stem = name or study
    return dest / (stem if stem.endswith(_SUFFIX) else stem + _SUFFIX)


def _same(first: Path, second: Path) -> bool:
    import filecmp

    return filecmp.cmp(first, second, shallow=False)


def _refuse(target: Path) -> None:
    from studies.problems import StudyError

    raise StudyError(
        f"{target}: another file is there already; choose another --name, or add --force to overwrite it."
    )
