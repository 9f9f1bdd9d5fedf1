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
@click.option(
    "--storage",
    metavar="URL",
    help="Database that several runners share: postgresql://USER@HOST/NAME, grpc://HOST:PORT, or env:NAME for a URL "
    "in an environment variable.  [default: the study file's, else SQLite in the workspace]",
)
@click.option(
    "--runner",
    metavar="NAME",
    help="Name of this runner among those that share the study.  [default: the machine's name]",
)
@click.option("--log", is_flag=True, help="One line per event even on a terminal.")
def command(
    study_file: Path,
    workspace: Path | None,
    tensorboard: bool,
    storage: str | None,
    runner: str | None,
    log: bool,
) -> None:
    """Run the search of STUDY_FILE, or go on with it.

    Started on several machines with the same database, every run joins the search; docs/scaling.md shows how.

    \b
    Examples:
      lorasearch run studies/library/quickstart.toml
      lorasearch run my-character.toml --workspace /data/my-character
      lorasearch run my-character.toml --tensorboard
      lorasearch run my-character.toml --storage postgresql://me@db/studies --runner gpu-1
    """
    from studies.launch import launch

    launch(study_file, workspace, log, tensorboard, storage, runner)
