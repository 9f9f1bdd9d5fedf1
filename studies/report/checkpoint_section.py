"""The page's table of every checkpoint."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from markupsafe import Markup

from evaluation.metrics.table import METRICS
from studies.report import checkpoint_table, choice, findings, page
from studies.report.page import Column, Table, TableRow
from studies.report.trial_plots import STATES
from studies.selection.document import Considered, Selection
from studies.study.trial import Checkpoint, Trial
from studies.text.i18n import Translator, marked

MOST_ROWS = 200
"""Checkpoints in the page's table; the CSV file has all of them."""


def table(selection: Selection, trials: Sequence[Trial], where: str, say: Translator) -> Table:
    """Every checkpoint, the best first.

    Args:
        selection: what was chosen.
        trials: all of them.
        where: the name of the file with all of the table.
        say: the language.
    """
    ranked = checkpoint_table.ranked(trials)
    weighed, front = {one.key: one for one in selection.candidates}, {key.key for key in selection.pareto}
    rows = [
        replace(
            _row(trial, one, weighed.get(one.key), say),
            won=one.key == selection.winner.key,
            front=one.key in front,
        )
        for trial, one in ranked[:MOST_ROWS]
    ]
    text = (
        page.html(
            say,
            marked(
                "The first {shown} of {all}; all of them with their parameters are in <code>{file}</code> beside "
                "this page."
            ),
            shown=len(rows),
            all=len(ranked),
            file=where,
        )
        if len(rows) < len(ranked)
        else page.html(
            say,
            marked("All of them with their parameters are in <code>{file}</code> beside this page, too."),
            file=where,
        )
    )
    note = say(
        "Validation: mean of log(loss / base loss), lower is better. Other metrics: points of 100 above the base "
        "model, of which memorisation should be low and the rest high; their values stand below. Training gap: "
        "validation minus training; large means learnt by heart. ◆ Pareto front; struck through: barred by a "
        "guard."
    )
    first = page.html(say, marked("Best first."))
    return Table(
        title=say("Every checkpoint"),
        text=first + Markup(" ") + text,
        rows=rows,
        columns=columns([one for _, one in ranked], say),
        outcome=say("trial was"),
        note=note,
    )


def _row(trial: Trial, one: Checkpoint, weighed: Considered | None, say: Translator) -> TableRow:
    return TableRow(
        name=choice.checkpoint(one.trial, one.epoch, say),
        checkpoint=one,
        objective=weighed.objective.mean if weighed and weighed.objective else one.objective,
        images=one.images_seen,
        outcome=say(STATES[trial.state]),
        barred=weighed is not None and weighed.barred is not None,
    )


def columns(everyone: Sequence[Checkpoint], say: Translator) -> list[Column]:
    """The metrics of pictures that were measured on any checkpoint."""
    found = []
    for name, metric in METRICS.items():
        known = [one.scores.metrics[name] for one in everyone if name in one.scores.metrics]
        if metric.measure and known:
            found.append(Column(name, findings.metric(name, say), known[0].base, metric.digits))
    return found
