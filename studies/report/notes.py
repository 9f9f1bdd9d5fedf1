"""Notes and marks that optuna-dashboard shows of trials and studies."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from evaluation.metrics.table import METRICS
from evaluation.scorecard import ScoreCard
from search.dashboard_notes import PICTURE
from search.memory import Memory
from search.trial import End, Infeasible
from studies.report import findings
from studies.report.choice import answer, baselines, reason
from studies.report.diagnosis import diagnose, headline
from studies.report.explanation import rule, sentence
from studies.selection.document import Finalist, Selection
from studies.study.trial import Checkpoint, Trial
from studies.text import format
from studies.text.format import estimate, figure, signed


def short(trial: Trial, end: End) -> dict[str, str | int]:
    """Attributes of a trial that is about to end; only what is known.

    Args:
        trial: with all its checkpoints, still running.
        end: how it ends.
    """
    found: dict[str, str | int] = {}
    if trial.best:
        found["best_epoch"] = trial.best.epoch
        found["best_validation"] = estimate(trial.best.scores.validation, 4)
    if isinstance(end, Infeasible):
        trial = replace(trial, state="infeasible", reason=end.reason)
    diagnosis = diagnose(trial)
    if diagnosis is not None:
        found["diagnosis"] = diagnosis.sentence
    return found


_SPECIAL = re.compile(r"([\\`*_{}\[\]()<>#+\-.!|~&:@$^=\"'/])")


_ADDRESS = re.compile(r"(?<=:)(?=//)|(?<=@)|(?<=\bwww)(?=\.)", re.IGNORECASE)


_JOINER = "\u2060"
"""Has no width. The dashboard makes links of bare addresses, escaped or not; with this inside they are none."""


def escaped(text: str) -> str:
    """Foreign words as they are: no Markdown, no HTML, no link, no line break in them acts."""
    return _SPECIAL.sub(r"\\\1", _ADDRESS.sub(_JOINER, " ".join(text.split())))


def study_note(selection: Selection, trials: Sequence[Trial]) -> str:
    """The verdict, how the finalists fared and what the trials suffer from."""
    winner, confirmation = selection.winner, selection.confirmation
    title = "Best of what was tried" if selection.refused else "Use" if confirmation else "So far"
    lines = [
        *([f"**{escaped(found)}**", ""] if (found := answer(selection)) else []),
        f"## {title}: trial {winner.trial}, epoch {winner.epoch}",
        escaped(reason(selection)),
        "",
        "| parameter | value |",
        "|---|---|",
        *(f"| {escaped(name)} | {escaped(format.value(value))} |" for name, value in winner.params.items()),
        "",
    ]
    if selection.test:
        lines += ["### On test images, against the base model", *_figures(selection.test), ""]
    if confirmation:
        lines += [line for one in baselines(selection) for line in (escaped(one), "")]
        lines += ["### Finalists, judged again", *_finalists(confirmation.finalists), ""]
    lines += [headline([diagnose(trial) for trial in trials]), ""]
    return "\n".join(
        [*lines, findings.ruling(selection.shares_of_variance), "", escaped(rule(selection.rule))]
    )


def trial_note(
    trial: Trial,
    selection: Selection | None = None,
    prompts: Sequence[str] = (),
    has_sheet: bool = False,
) -> str:
    """A trial's diagnosis, its best checkpoint's figures, its pictures, all its checkpoints.

    Args:
        trial: of which the note is.
        selection: what the study says; None before there is a verdict.
        prompts: of the contact sheet's columns.
        has_sheet: whether the trial has one.
    """
    diagnosis = diagnose(trial)
    lines = [f"## {diagnosis.condition.capitalize()}", ""] if diagnosis else []
    if selection is not None and selection.winner.trial == trial.number:
        epoch = selection.winner.epoch
        lines += [f"**The winner, at epoch {epoch}.** {escaped(reason(selection))}", ""]
    if diagnosis is not None:
        lines += [escaped(diagnosis.sentence), ""]
        lines += [f"**Remedy:** {escaped(diagnosis.remedy)}.", ""] if diagnosis.remedy else []
    if trial.reason:
        lines += [f"It ended as {trial.state}: {escaped(sentence(trial.reason))}", ""]
    if best := trial.best:
        title = f"### Best: epoch {best.epoch} of {len(trial.checkpoints)}, {best.images_seen} images"
        lines += [title, *_figures(best.scores), ""]
    if has_sheet:
        lines += _sheet(prompts)
    return "\n".join(lines + _checkpoints(trial.checkpoints))


def _sheet(prompts: Sequence[str]) -> list[str]:
    """The contact sheet and what its columns were asked for."""
    lines = ["### What it draws, epoch by epoch", f"![contact sheet]({PICTURE})", ""]
    if prompts:
        lines += ["From left to right:", ""]
        lines += [f"{i}. {escaped(prompt)}" for i, prompt in enumerate(prompts, start=1)]
        lines += [""]
    return lines


def _figures(scores: ScoreCard) -> list[str]:
    """A row a metric: the difference from the base model with its error, both values."""
    rows = []
    for name, metric in METRICS.items():
        if found := scores.metrics.get(name):
            label = metric.label if metric.measure else f"{metric.label} (log ratio)"
            own = f"{figure(found.value, metric.digits)} | {figure(found.base, metric.digits)}"
            rows.append(f"| {label} | {estimate(found.difference, metric.digits)} | {own} |")
    return ["| figure | against the base model | with the LoRA | base model |", "|---|---:|---:|---:|", *rows]


def _checkpoints(checkpoints: Sequence[Checkpoint]) -> list[str]:
    if not checkpoints:
        return []
    lines = [
        "### Every checkpoint",
        "| epoch | images | objective | validation |",
        "|---:|---:|---:|---:|",
    ]
    for one in checkpoints:
        objective = signed(one.objective, 2) + (" (barred)" if one.barred else "")
        validation = estimate(one.scores.validation, 4)
        lines.append(f"| {one.epoch} | {one.images_seen} | {objective} | {validation} |")
    return lines


def _finalists(finalists: Sequence[Finalist]) -> list[str]:
    return [
        "| trial | epoch | objective in the search | judged again | |",
        "|---:|---:|---:|---:|---|",
        *(
            f"| {f.trial} | {f.epoch} | {estimate(f.objective_before, 2)} | {estimate(f.objective, 2)} "
            f"| {'barred: ' + escaped(sentence(f.barred)) if f.barred else ''} |"
            for f in finalists
        ),
    ]


def note_trial(memory: Memory, trial: Trial, selection: Selection | None, prompts: Sequence[str]) -> None:
    """Diagnosis, scores and contact sheet; nothing for a trial that has neither a checkpoint nor a reason.

    Args:
        memory: of the study.
        trial: of which the note is.
        selection: what the study says; None before there is a verdict.
        prompts: what each picture of the sheet shows.
    """
    if trial.checkpoints or trial.reason:
        has_sheet = memory.board.artifact_count(trial.number) > 0
        memory.board.note(trial_note(trial, selection, prompts, has_sheet), trial.number)
