"""Notes and marks that optuna-dashboard shows of trials and studies."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from evaluation.scorecard import METRICS, ScoreCard
from search.dashboard_notes import PICTURE
from search.memory import Memory
from search.trial import End, Infeasible, TrialRecord
from studies.report import findings
from studies.report.diagnosis import diagnose, headline
from studies.report.explanation import sentence
from studies.selection.checkpoint import Card, facts
from studies.text import format
from studies.text.format import estimate, figure, signed


def short(record: TrialRecord, end: End) -> dict[str, str | int]:
    """Attributes of a trial that is about to end; only what is known.

    Args:
        record: with all its cards, still running.
        end: how it ends.
    """
    scored = [card for card in record.cards if card["objective"] is not None]
    found: dict[str, str | int] = {}
    if scored:
        best = max(scored, key=lambda card: float(card["objective"]))
        found["best_epoch"] = int(best["epoch"])
        found["best_validation"] = estimate(best["scores"]["validation"], 4)
    if isinstance(end, Infeasible):
        record = replace(record, state="infeasible", reason=end.reason)
    diagnosis = diagnose(record)
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


def study_note(verdict: Mapping[str, Any], records: Sequence[TrialRecord]) -> str:
    """The verdict, how the finalists fared and what the trials suffer from."""
    winner, confirmation = verdict["winner"], verdict["confirmation"]
    lines = [
        f"## {'Use' if confirmation else 'So far'}: trial {winner['trial']}, epoch {winner['epoch']}",
        escaped(winner["reason"]),
        "",
        "| parameter | value |",
        "|---|---|",
        *(
            f"| {escaped(name)} | {escaped(format.value(value))} |"
            for name, value in winner["params"].items()
        ),
        "",
    ]
    if verdict["test"]:
        lines += ["### On test images, against the base model", *_figures(verdict["test"]), ""]
    if confirmation:
        if not confirmation["separable"]:
            lines += ["**Not separable**: fresh seeds cannot tell the winner from every other trial.", ""]
        lines += ["### Finalists, judged again", *_finalists(confirmation["finalists"]), ""]
    lines += [headline([diagnose(record) for record in records]), ""]
    return "\n".join([*lines, findings.ruling(verdict["shares_of_variance"]), "", escaped(verdict["rule"])])


def trial_note(
    record: TrialRecord,
    verdict: Mapping[str, Any] | None = None,
    prompts: Sequence[str] = (),
    has_sheet: bool = False,
) -> str:
    """A trial's diagnosis, its best checkpoint's figures, its pictures, all its checkpoints.

    Args:
        record: the trial.
        verdict: what the study says; None before there is a verdict.
        prompts: of the contact sheet's columns.
        has_sheet: whether the trial has one.
    """
    diagnosis = diagnose(record)
    lines = [f"## {diagnosis.condition.capitalize()}", ""] if diagnosis else []
    if verdict is not None and verdict["winner"]["trial"] == record.number:
        lines += [
            f"**The winner, at epoch {verdict['winner']['epoch']}.** {escaped(verdict['winner']['reason'])}",
            "",
        ]
    if diagnosis is not None:
        lines += [escaped(diagnosis.sentence), ""]
        lines += [f"**Remedy:** {escaped(diagnosis.remedy)}.", ""] if diagnosis.remedy else []
    if record.reason:
        lines += [f"It ended as {record.state}: {escaped(sentence(record.reason))}", ""]
    scored = [card for card in record.cards if card["objective"] is not None]
    if scored:
        best = max(scored, key=lambda card: float(card["objective"]))
        title = f"### Best: epoch {best['epoch']} of {len(record.cards)}, {best['images_seen']} images"
        lines += [title, *_figures(best["scores"]), ""]
    if has_sheet:
        lines += _sheet(prompts)
    return "\n".join(lines + _checkpoints(record.cards))


def _sheet(prompts: Sequence[str]) -> list[str]:
    """The contact sheet and what its columns were asked for."""
    lines = ["### What it draws, epoch by epoch", f"![contact sheet]({PICTURE})", ""]
    if prompts:
        lines += ["From left to right:", ""]
        lines += [f"{i}. {escaped(prompt)}" for i, prompt in enumerate(prompts, start=1)]
        lines += [""]
    return lines


def _figures(scores: Mapping[str, Any]) -> list[str]:
    """A row a metric: the difference from the base model with its error, both values."""
    card = ScoreCard.model_validate(scores)
    rows = [f"| {findings.METRICS['validation']} (log ratio) | {estimate(card.validation, 4)} | – | – |"]
    for name in METRICS[1:]:
        difference = getattr(card, name)
        if difference is not None:
            base = figure(card.base_values.get(name), 2)
            value = figure(getattr(card, f"{name}_value"), 2)
            rows.append(f"| {findings.METRICS[name]} | {estimate(difference, 2)} | {value} | {base} |")
    return ["| figure | against the base model | with the LoRA | base model |", "|---|---:|---:|---:|", *rows]


def _checkpoints(cards: Sequence[Card]) -> list[str]:
    if not cards:
        return []
    lines = [
        "### Every checkpoint",
        "| epoch | images | objective | validation |",
        "|---:|---:|---:|---:|",
    ]
    for card in cards:
        objective = signed(card["objective"], 2) + (" (barred)" if card.get("barred") else "")
        validation = estimate(facts(card).validation, 4)
        lines.append(f"| {card['epoch']} | {card['images_seen']} | {objective} | {validation} |")
    return lines


def _finalists(finalists: Sequence[Mapping[str, Any]]) -> list[str]:
    return [
        "| trial | epoch | objective in the search | judged again | |",
        "|---:|---:|---:|---:|---|",
        *(
            f"| {f['trial']} | {f['epoch']} | {estimate(f['objective_before'], 2)} "
            f"| {estimate(f['objective'], 2)} | {'barred: ' + escaped(f['barred']) if f.get('barred') else ''} |"
            for f in finalists
        ),
    ]


def note_trial(
    memory: Memory, record: TrialRecord, verdict: Mapping[str, Any] | None, prompts: Sequence[str]
) -> None:
    """Diagnosis, scores and contact sheet; nothing for a trial that has neither a checkpoint nor a reason.

    Args:
        memory: of the study.
        record: the trial.
        verdict: the content of selection.json; None before there is one.
        prompts: what each picture of the sheet shows.
    """
    if record.cards or record.reason:
        has_sheet = memory.board.artifact_count(record.number) > 0
        memory.board.note(trial_note(record, verdict, prompts, has_sheet), record.number)
