"""``lorasearch compare``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from studies.text.terminal import cell, plain

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.table import Table

    from studies.commands.compare import Comparison


@click.command(name="compare")
@click.argument(
    "workspaces", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="STUDY STUDY..."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object for scripts.")
def command(workspaces: tuple[Path, ...], as_json: bool) -> None:
    """Show studies side by side: settings that differ, winners, their test scores, and what each took.

    STUDY is a workspace. Scores are compared only where data set, base model and judge are the same; a difference
    counts where it exceeds two of its standard errors.

    \b
    Examples:
      lorasearch compare workspaces/mycat workspaces/mycat-lion
      lorasearch compare workspaces/mycat-* --json | jq .pairs
    """
    from studies.commands.compare import compare, side
    from studies.study.open import open_readonly, reading

    with reading():
        studies = [open_readonly(workspace) for workspace in workspaces]
        names = _names([study.spec.study.name for study in studies], workspaces)
        comparison = compare([side(study, name) for study, name in zip(studies, names, strict=True)])
    if as_json:
        import json

        click.echo(json.dumps(comparison.to_json(), indent=2, ensure_ascii=False))
        return
    from rich.console import Console

    console = Console()
    for table in _tables(comparison):
        console.print(table)
    for line in _lines(comparison):
        console.print(plain(line), markup=False, highlight=False, soft_wrap=True)


def _names(names: Sequence[str], workspaces: Sequence[Path]) -> list[str]:
    """The studies' names, or the workspaces' where two studies have the same."""
    return list(names) if len(set(names)) == len(names) else [str(path) for path in workspaces]


def _tables(comparison: Comparison) -> Iterator[Table]:
    from evaluation.metrics.table import METRICS
    from studies.text.format import duration, estimate, value

    studies = comparison.studies
    names = [one.study for one in studies]
    if comparison.differences:
        settings = _table("settings that differ", names)
        for name, values in comparison.differences.items():
            settings.add_row(cell(name), *(cell(_setting(one)) for one in values))
        yield settings
    table = _table("winner", names)
    winners = [one.winner for one in studies]
    table.add_row("trial", *(str(winner.trial) if winner else "–" for winner in winners))
    table.add_row("epoch", *(str(winner.epoch) if winner else "–" for winner in winners))
    params = dict.fromkeys(name for winner in winners if winner for name in winner.params)
    for name in params:
        chosen = [winner.params.get(name) if winner else None for winner in winners]
        table.add_row(cell(name), *("–" if one is None else cell(value(one)) for one in chosen))
    for name, metric in METRICS.items():
        scores = [one.test.get(name) if one.test else None for one in studies]
        if any(scores):
            table.add_row(f"test: {metric.label}", *(estimate(score, metric.digits) for score in scores))
    used = [one.used for one in studies]
    table.add_row("trials", *(f"{one.trials:,}" for one in used))
    table.add_row("images seen", *(f"{one.images:,}" for one in used))
    table.add_row("running time", *(duration(one.seconds) for one in used))
    yield table


def _table(title: str, names: Sequence[str]) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD)
    table.add_column(title, overflow="fold")
    for name in names:
        table.add_column(cell(name), justify="right", overflow="fold")
    return table


def _setting(chosen: object) -> str:
    from studies.text.format import value

    if isinstance(chosen, dict):
        return ", ".join(f"{name} {_setting(one)}" for name, one in chosen.items() if one is not None)
    if isinstance(chosen, list):
        return ", ".join(map(_setting, chosen)) or "none"
    return "–" if chosen is None else value(chosen)


def _lines(comparison: Comparison) -> Iterator[str]:
    from evaluation.metrics.table import METRICS
    from studies.text.format import error, signed

    if not comparison.comparable:
        yield f"Their scores cannot be compared: {'; '.join(comparison.reasons)}."
        return
    if waiting := [one.study for one in comparison.studies if not one.test]:
        yield f"No tested verdict yet: {', '.join(waiting)}."
    for pair in comparison.pairs:
        for name, lead in pair.metrics.items():
            metric = METRICS[name]
            noise = float("inf") if lead.standard_error is None else lead.standard_error
            figure = f"{signed(lead.better_by, metric.digits)} ± {error(noise, metric.digits)}"
            verdict = "more than noise" if lead.beyond_noise else "within the noise"
            yield f"{pair.leader} over {pair.other}, {metric.label}: better by {figure}, {verdict}."
        if not pair.same_test_images:
            yield "  Their seeds, and so their test images, differ: the errors of both count."
