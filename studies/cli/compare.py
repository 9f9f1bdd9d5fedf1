"""``lorasearch compare``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from studies.text.terminal import cell, plain

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from rich.table import Table


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
    from studies.study.open import open_readonly, told

    with told():
        studies = [open_readonly(workspace) for workspace in workspaces]
        names = _names([study.spec.study.name for study in studies], workspaces)
        found = compare([side(study, name) for study, name in zip(studies, names, strict=True)])
    if as_json:
        import json

        click.echo(json.dumps(found, indent=2, ensure_ascii=False))
        return
    from rich.console import Console

    console = Console()
    for table in _tables(found):
        console.print(table)
    for line in _lines(found):
        console.print(plain(line), markup=False, highlight=False, soft_wrap=True)


def _names(names: Sequence[str], workspaces: Sequence[Path]) -> list[str]:
    """The studies' names, or the workspaces' where two studies have the same."""
    return list(names) if len(set(names)) == len(names) else [str(path) for path in workspaces]


def _tables(found: Mapping[str, Any]) -> Iterator[Table]:
    from studies.report.findings import METRICS
    from studies.text.format import duration, estimate, value

    studies = found["studies"]
    names = [one["study"] for one in studies]
    if found["differences"]:
        settings = _table("settings that differ", names)
        for name, values in found["differences"].items():
            settings.add_row(cell(name), *(cell(_setting(one)) for one in values))
        yield settings
    table = _table("winner", names)
    winners = [one["winner"] or {} for one in studies]
    table.add_row("trial", *(str(winner.get("trial", "–")) for winner in winners))
    table.add_row("epoch", *(str(winner.get("epoch", "–")) for winner in winners))
    params = dict.fromkeys(name for winner in winners for name in winner.get("params", {}))
    for name in params:
        table.add_row(
            cell(name),
            *(cell(value(w["params"][name])) if name in w.get("params", {}) else "–" for w in winners),
        )
    for name, label in METRICS.items():
        scores = [(one["test"] or {}).get(name) for one in studies]
        if any(scores):
            digits = 4 if name == "validation" else 2
            table.add_row(f"test: {label}", *(estimate(score, digits) for score in scores))
    used = [one["used"] for one in studies]
    table.add_row("trials", *(f"{one['trials']:,}" for one in used))
    table.add_row("images seen", *(f"{one['images']:,}" for one in used))
    table.add_row("running time", *(duration(one["seconds"]) for one in used))
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


def _lines(found: Mapping[str, Any]) -> Iterator[str]:
    from studies.report.findings import METRICS
    from studies.text.format import error, signed

    if not found["comparable"]:
        yield f"Their scores cannot be compared: {'; '.join(found['reasons'])}."
        return
    if waiting := [one["study"] for one in found["studies"] if not one["test"]]:
        yield f"No tested verdict yet: {', '.join(waiting)}."
    for pair in found["pairs"]:
        for name, lead in pair["metrics"].items():
            digits = 4 if name == "validation" else 2
            figure = f"{signed(lead['better_by'], digits)} ± {error(_known(lead['standard_error']), digits)}"
            verdict = "more than noise" if lead["beyond_noise"] else "within the noise"
            yield f"{pair['leader']} over {pair['other']}, {METRICS[name]}: better by {figure}, {verdict}."
        if not pair["same_test_images"]:
            yield "  Their seeds, and so their test images, differ: the errors of both count."


def _known(value: float | None) -> float:
    return float("inf") if value is None else value
