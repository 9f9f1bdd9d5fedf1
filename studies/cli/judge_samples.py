"""``lorasearch judge --samples``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from studies.text.i18n import translator
from studies.text.terminal import cell, plain, screen, tell

if TYPE_CHECKING:
    from pathlib import Path

    from rich.table import Table

    from studies.cli.options import JudgeWords
    from studies.selection.judged_samples import SampleVerdict


def judge_samples(samples: Path, shared: JudgeWords, language: str, as_json: bool) -> None:
    """Judges, and prints a table and the answer, or JSON."""
    from studies.commands.judge_samples import SampleOptions, judge
    from studies.errors import in_sentences, quiet
    from studies.report.samples_page import answer, missing

    quiet()
    with in_sentences():
        verdict, document, page = judge(SampleOptions(samples, **shared), translator(language))
    for warning in verdict.warnings:
        tell(f"note: {warning}", err=True)
    if as_json:
        click.echo(verdict.model_dump_json(indent=2))
        return
    console = screen()
    console.print(_table(verdict))
    for line in (answer(verdict), missing(), f"Report: {page}", f"Data:   {document}"):
        console.print(plain(line), markup=False, highlight=False, soft_wrap=True)


def _table(verdict: SampleVerdict) -> Table:
    from rich import box
    from rich.table import Table

    from evaluation.metrics.table import METRICS
    from studies.report.samples_page import outcome
    from studies.text.format import estimate

    table = Table(box=box.SIMPLE_HEAD)
    shown = [name for name in METRICS if name in verdict.checkpoints[0].metrics]
    for name in (verdict.unit, *(METRICS[name].short for name in shown), "objective"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("verdict")
    for one in verdict.checkpoints:
        figures = [estimate(one.metrics[name], 2) for name in shown]
        style = "bold green" if one.number == verdict.best else ""
        words = [str(one.number), *figures, estimate(one.objective, 2), outcome(one)]
        table.add_row(*map(cell, words), style=style)
    return table
