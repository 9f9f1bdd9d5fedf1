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
@click.option(
    "--engine",
    type=click.Choice(["inline", "ray"]),
    default="inline",
    show_default=True,
    help="Who trains: this process on one device, or workers of a Ray cluster, one on each device.",
)
@click.option(
    "--ray-address",
    metavar="HOST:PORT",
    help="Ray cluster to join; auto for one on this machine.  [default: start one on this machine]",
)
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    metavar="N",
    help="Number of Ray workers.  [default: the cluster's GPUs, or 1 where it has none]",
)
@click.option("--log", is_flag=True, help="One line per event even on a terminal.")
def command(
    study_file: Path,
    workspace: Path | None,
    tensorboard: bool,
    storage: str | None,
    runner: str | None,
    engine: str,
    ray_address: str | None,
    workers: int | None,
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
      lorasearch run my-character.toml --engine ray --workers 4
    """
    from studies.commands.run import launch
    from studies.engines.choice import EngineChoice

    launch(
        study_file, workspace, log, tensorboard, storage, runner, EngineChoice(engine, ray_address, workers)
    )
