"""``lorasearch caption``."""

from __future__ import annotations

from pathlib import Path

import click

from studies.text.terminal import tell


@click.command(name="caption")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "--model",
    default="Salesforce/blip-image-captioning-base",
    show_default=True,
    help="Image-to-text model: a folder or a hub name.",
)
@click.option("--trigger", default="", help="Words that come first in every caption.  [default: none]")
def command(folder: Path, model: str, trigger: str) -> None:
    """Write a caption beside every image in FOLDER that has none; none is overwritten.

    \b
    Examples:
      lorasearch caption images/10_sks --trigger sks
      lorasearch caption images --model ~/models/blip-large
    """
    from studies.commands.caption import describer, uncaptioned, write
    from studies.errors import StudyError

    images = uncaptioned(folder)
    if not images:
        tell("Every image has a caption.")
        return
    local = Path(model).expanduser()
    problems: list[str] = []
    for path, said in write(images, describer(str(local) if local.exists() else model), trigger):
        if isinstance(said, StudyError):
            problems += said.problems
        else:
            tell(f"{path}: {said}")
    if problems:
        raise StudyError(problems)
