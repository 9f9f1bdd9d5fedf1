"""``lorasearch status``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.table import Table


@click.command(name="status")
@click.argument("workspace", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="One JSON object for scripts.")
def command(workspace: Path, as_json: bool) -> None:
    """Show the trials of WORKSPACE, what is best so far and what is left of the budget.

    \b
    Examples:
      lorasearch status workspaces/quickstart
      lorasearch status workspaces/quickstart --json | jq .best
    """
    from studies.glance import glance, status, told

    with told():
        found = status(glance(workspace))
    if as_json:
        import json

        click.echo(json.dumps(found, indent=2, ensure_ascii=False))
        return
    from rich.console import Console

    console = Console()
    console.print(_table(found["trials"]))
    for line in _lines(found):
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def _table(trials: list[dict[str, Any]]) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from studies.words import estimate, signed

    styles = {"finished": "green", "running": "cyan", "infeasible": "red", "failed": "red"}
    table = Table(box=box.SIMPLE_HEAD)
    for name in ("trial", "epochs", "images"):
        table.add_column(name, justify="right")
    table.add_column("state")
    for name in ("best validation", "best objective"):
        table.add_column(name, justify="right")
    table.add_column("parameters", overflow="fold")
    for trial in trials:
        table.add_row(
            str(trial["number"]),
            str(trial["epochs"]),
            str(trial["images_seen"]),
            Text(trial["state"], style=styles.get(trial["state"], "dim")),
            estimate(trial["validation"], 4),
            signed(trial["objective"], 2),
            Text(_parameters(trial)),
        )
    return table


def _parameters(trial: Mapping[str, Any]) -> str:
    from studies.words import value

    text = ", ".join(f"{name.rsplit('.', 1)[-1]} {value(v)}" for name, v in trial["params"].items())
    return f"{text} ({trial['reason']})" if trial["reason"] else text


def _lines(found: Mapping[str, Any]) -> list[str]:
    from studies.words import estimate, signed

    states = ", ".join(f"{count} {state}" for state, count in found["states"].items()) or "no trial yet"
    lines = [f"{found['study']}: {states}; {found['checkpoints']} checkpoints scored."]
    best = found["best"]
    if best:
        lines.append(
            f"Best so far: trial {best['number']}, epoch {best['best_epoch']}: objective "
            f"{signed(best['objective'], 2)}, validation {estimate(best['validation'], 4)}."
        )
    parts = [f"{entry['left']:.4g} of {entry['limit']:g} {name}" for name, entry in found["budget"].items()]
    lines.append(f"Budget left: {', '.join(parts)}.")
    lines.append(
        "The verdict stands: see `lorasearch select`."
        if found["verdict"]
        else "No verdict yet: `lorasearch run` goes on, `lorasearch select` shows the choice so far."
    )
    return lines
