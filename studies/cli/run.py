"""``lorasearch run``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from studies.text.terminal import cell, tell

if TYPE_CHECKING:
    from rich.table import Table

    from studies.commands.queue import Outcome


@click.command(name="run")
@click.argument(
    "study_files", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="STUDY_FILE..."
)
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
@click.option(
    "--cache",
    type=click.Path(path_type=Path),
    help="Folder of encoded images, which studies on one base model may share.  [default: WORKSPACE/cache; several "
    "studies share workspaces/cache]",
)
@click.option("--log", is_flag=True, help="One line per event even on a terminal.")
def command(
    study_files: tuple[Path, ...],
    workspace: Path | None,
    tensorboard: bool,
    storage: str | None,
    runner: str | None,
    engine: str,
    ray_address: str | None,
    workers: int | None,
    cache: Path | None,
    log: bool,
) -> None:
    """Run the search of STUDY_FILE, or go on with it; of several, or of those in a folder, one after another.

    A study that fails does not keep the next ones from being run; a table at the end tells what became of each, and
    the same command goes on after an interruption. Started on several machines with the same database, every run
    joins the search; docs/scaling.md shows how.

    \b
    Examples:
      lorasearch run studies/library/quickstart.toml
      lorasearch run my-character.toml --workspace /data/my-character
      lorasearch run my-character.toml --tensorboard
      lorasearch run my-character.toml --storage postgresql://me@db/studies --runner gpu-1
      lorasearch run my-character.toml --engine ray --workers 4
      lorasearch run my-character.toml my-style.toml more-studies/
    """
    if len(study_files) > 1 or study_files[0].is_dir():
        options = {
            "--storage": storage,
            "--runner": runner,
            "--engine": engine,
            "--ray-address": ray_address,
            "--workers": workers,
            "--cache": cache or Path("workspaces", "cache"),
        }
        switches = [name for name, on in {"--tensorboard": tensorboard, "--log": log}.items() if on]
        _queue(study_files, workspace, options, switches)
        return
    from studies.commands.run import launch
    from studies.engines.choice import EngineChoice

    chosen = EngineChoice(engine, ray_address, workers)
    launch(study_files[0], workspace, log, tensorboard, storage, runner, chosen, cache)


def _queue(
    places: tuple[Path, ...],
    workspace: Path | None,
    options: Mapping[str, object],
    switches: Sequence[str],
) -> None:
    from rich.console import Console

    from studies.commands.queue import INTERRUPTED, run_all, study_files

    if workspace is not None:
        raise click.UsageError(
            "--workspace names the folder of one study; leave it out, and each gets workspaces/NAME."
        )
    files = study_files(places)
    words = [word for name, value in options.items() if value is not None for word in (name, str(value))]
    outcomes = list(run_all(files, [*words, *switches], tell))
    Console().print(_table(outcomes))
    if any(outcome.state == "interrupted" for outcome in outcomes):
        tell("interrupted; run the same command again to go on", err=True)
        raise SystemExit(INTERRUPTED)
    if any(outcome.state == "failed" for outcome in outcomes):
        raise SystemExit(1)


def _table(outcomes: Sequence[Outcome]) -> Table:
    from rich.table import Table

    from studies.text.format import duration

    table = Table()
    for column in ("study", "state", "winner", "best file", "time"):
        table.add_column(column, overflow="fold")
    for one in outcomes:
        best = str(one.best) if one.best else ""
        table.add_row(
            *map(cell, (one.name or str(one.file), one.state, one.winner, best, duration(one.seconds)))
        )
    return table
