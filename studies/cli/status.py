"""``lorasearch status``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from studies.text.terminal import WIDE, cell, plain, screen, tell

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console
    from rich.table import Table

    from studies.commands.status import Status, TrialStatus

MOST_ROWS = 16
"""Trials that the live table shows: those that run, then the best."""


@click.command(name="status")
@click.argument("workspace", type=click.Path(path_type=Path))
@click.option("--watch", is_flag=True, help="Go on showing it until the study ends; Ctrl-C leaves.")
@click.option(
    "--interval",
    type=click.FloatRange(min=0.2),
    default=5.0,
    show_default=True,
    help="Seconds between two looks with --watch.",
)
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="One JSON object for scripts; with --watch one a line.",
)
def command(workspace: Path, watch: bool, interval: float, as_json: bool) -> None:
    """Show the trials of WORKSPACE, what is best so far and what is left of the budget.

    \b
    Examples:
      lorasearch status workspaces/quickstart
      lorasearch status workspaces/quickstart --watch
      lorasearch status workspaces/quickstart --json | jq .best
    """
    console = screen()
    if watch:
        _watch(workspace, interval, as_json, console)
        return
    found = _look(workspace)
    if as_json:
        import json

        click.echo(json.dumps(found.to_json(), indent=2, ensure_ascii=False))
        return
    console.print(_table(found.trials, console))
    for line in _lines(found):
        console.print(plain(line), markup=False, highlight=False, soft_wrap=True)


def _look(workspace: Path) -> Status:
    from studies.commands.status import status
    from studies.study.open import open_readonly, reading

    with reading():
        return status(open_readonly(workspace))


def _watch(workspace: Path, interval: float, as_json: bool, console: Console) -> None:
    """Looks again and again: a live page on a terminal, elsewhere a line whenever something has changed."""
    import json
    import time

    from rich.live import Live

    found = _look(workspace)
    said = ""
    with Live(console=console, auto_refresh=False, transient=False) as live:
        while True:
            if as_json:
                line = json.dumps(found.to_json(), ensure_ascii=False)
            elif console.is_terminal:
                live.update(_page(found, console), refresh=True)
                line = said
            else:
                line = " ".join(_lines(found)[:-1])
            if line != said:
                tell(line)
            said = line
            if found.ended:
                break
            time.sleep(interval)
            found = _look(workspace)
    if not as_json:
        tell(_lines(found)[-1])


def _page(found: Status, console: Console) -> Any:
    from rich.console import Group
    from rich.progress_bar import ProgressBar
    from rich.text import Text

    trials = _foremost(found.trials)
    left = len(found.trials) - len(trials)
    parts: list[Any] = [_table(trials, console)]
    if left:
        parts.append(Text(f"and {left} more trials", style="dim"))
    parts += [cell(line) for line in _lines(found)]
    shares = [entry.spent / entry.limit for entry in found.budget.values()]
    parts.append(ProgressBar(total=1.0, completed=min(1.0, max(shares, default=0.0)), width=60))
    return Group(*parts)


def _foremost(trials: Sequence[TrialStatus]) -> list[TrialStatus]:
    """As many trials as fit on a screen, in their order: those that run, then the best, then the newest."""
    ranked = sorted(
        trials,
        key=lambda t: (t.state != "running", -(-1e9 if t.objective is None else t.objective), -t.number),
    )
    return sorted(ranked[:MOST_ROWS], key=lambda trial: trial.number)


def _table(trials: Sequence[TrialStatus], console: Console) -> Table:
    """Parameters are in it where there is room for them."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from studies.text.format import estimate, signed

    styles = {"finished": "green", "running": "cyan", "infeasible": "red", "failed": "red"}
    table = Table(box=box.SIMPLE_HEAD)
    for name in ("trial", "epochs", "images"):
        table.add_column(name, justify="right")
    table.add_column("state")
    for name in ("best validation", "best objective"):
        table.add_column(name, justify="right", no_wrap=True)
    wide = console.width >= WIDE
    if wide:
        table.add_column("parameters", overflow="fold", min_width=40)
    for trial in trials:
        table.add_row(
            str(trial.number),
            str(trial.epochs),
            str(trial.images_seen),
            Text(trial.state, style=styles.get(trial.state, "dim")),
            estimate(trial.validation, 4),
            signed(trial.objective, 2),
            *([cell(_parameters(trial))] if wide else []),
        )
    return table


def _parameters(trial: TrialStatus) -> str:
    from studies.text.format import value

    text = ", ".join(f"{name.rsplit('.', 1)[-1]} {value(v)}" for name, v in trial.params.items())
    return f"{text} ({trial.reason})" if trial.reason else text


def _lines(found: Status) -> list[str]:
    from studies.text.format import duration, estimate, signed

    states = ", ".join(f"{count} {state}" for state, count in found.states.items()) or "no trial yet"
    lines = [f"{found.study}: {states}; {found.checkpoints} checkpoints scored."]
    if best := found.best:
        lines.append(
            f"Best so far: trial {best.number}, epoch {best.best_epoch}: objective "
            f"{signed(best.objective, 2)}, validation {estimate(best.validation, 4)}."
        )
        lines.append(f"  {_parameters(best)}")
    if found.forecast:
        lines.append(found.forecast)
    parts = [f"{entry.left:.4g} of {entry.limit:g} {name}" for name, entry in found.budget.items()]
    lines.append(f"Budget left: {', '.join(parts)}.")
    if not found.ended and found.seconds_left is not None:
        lines.append(f"Time left: about {duration(found.seconds_left)} of searching.")
    lines.append(
        "The verdict stands: see `lorasearch select`."
        if found.verdict
        else "No verdict yet: `lorasearch run` goes on, `lorasearch select` shows the choice so far."
    )
    return lines
