"""``lorasearch run``."""

from __future__ import annotations

from pathlib import Path

import click


@click.command(name="run")
@click.argument("study_file", type=click.Path(path_type=Path))
@click.option(
    "--workspace",
    type=click.Path(path_type=Path),
    help="Folder for everything the study writes.  [default: workspaces/NAME]",
)
@click.option(
    "--tensorboard", is_flag=True, help="Write curves for TensorBoard into WORKSPACE/tensorboard, too."
)
@click.option("--log", is_flag=True, help="One line per event even on a terminal.")
def command(study_file: Path, workspace: Path | None, tensorboard: bool, log: bool) -> None:
    """Run the search of STUDY_FILE, or go on with it.

    \b
    Examples:
      lorasearch run studies/library/quickstart.toml
      lorasearch run my-character.toml --workspace /data/my-character
      lorasearch run my-character.toml --tensorboard
    """
    from studies.launch import launch

    launch(study_file, workspace, log, tensorboard)
