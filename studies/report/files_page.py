"""What the page of judged files says."""

from __future__ import annotations

from pathlib import Path

from studies.report import choice, files_pictures, findings, page, plots, provenance
from studies.report.checkpoint_section import columns
from studies.report.explanation import rule, sentence
from studies.report.page import Flag, Page, Table, TableRow
from studies.selection.document import Considered, Selection
from studies.selection.judge_request import JudgeRequest
from studies.selection.judged_files import JudgedFiles
from studies.text.i18n import ENGLISH, Translator, marked


def write(path: Path, judged: JudgedFiles, request: JudgeRequest, say: Translator = ENGLISH) -> None:
    """Writes the page, whole or not at all."""
    page.write(path, content(judged, request, say), say)


def content(judged: JudgedFiles, request: JudgeRequest, say: Translator = ENGLISH) -> Page:
    """The page's sections."""
    selection, split = judged.selection, request.images.dataset.split
    winner = selection.winner
    tiles = [files_pictures.tiles_of(renders) for renders in judged.renders]
    drawn = plots.of_files(selection, say)
    rows = [_row(selection, one, say) for one in selection.candidates]
    return Page(
        name=winner.origin.run if winner.origin else selection.name,
        kind=say("LoRA judgement"),
        headline=choice.headline(
            selection, say("Use {winner}.", winner=choice.named(selection, winner, say)), say
        ),
        reason=choice.reason(selection, say),
        selection=selection,
        file=winner.file,
        flags=_flags(request, say),
        lines=[f"{run}: {told}" for run, told in choice.diagnoses(selection, say).items()],
        findings=findings.findings(
            selection.test or winner.scores,
            len(split.test if selection.test else split.validation),
            "test" if selection.test else "validation",
            say,
        ),
        findings_note=say("± is one standard error; a difference below two of them is not called one."),
        grid=files_pictures.grid(judged, request.images.dataset, tiles, say),
        plots=drawn,
        curves=plots.of_runs(selection, drawn, say),
        pairs=files_pictures.pairs_of(judged, request.images.dataset, tiles[winner.trial]),
        rule=rule(selection.rule, say),
        ruling=findings.ruling(selection.shares_of_variance, say),
        table=Table(
            title=say("All files"),
            text="",
            rows=rows,
            columns=columns([row.checkpoint for row in rows], say),
            outcome=say("Verdict"),
            ranks=True,
            note=say(
                "Validation: mean of log(loss / base loss), lower is better. CLIP and memorisation: points of 100 "
                "above the base model. ± is one standard error."
            ),
        ),
        warnings=[sentence(warning, say) for warning in request.warnings],
        measured=_measured(request, say),
    )


def _flags(request: JudgeRequest, say: Translator) -> list[Flag]:
    if request.images.never_trained_on:
        return []
    return [
        Flag(
            say("may have been trained on"),
            page.html(
                say,
                marked(
                    "The images that this judgement rests on may have been used in training; then later epochs look "
                    "better than they are. Judge again with images that were never trained on "
                    "(<code>--held-out</code>)."
                ),
            ),
        )
    ]


def _row(selection: Selection, one: Considered, say: Translator) -> TableRow:
    return TableRow(
        name=choice.named(selection, one, say),
        checkpoint=one.checkpoint,
        objective=one.objective.mean if one.objective else None,
        images=one.origin.images_seen if one.origin else one.images_seen,
        outcome=choice.verdict(selection, one, say),
        won=one.key == selection.winner.key,
        barred=one.barred is not None,
    )


def _measured(request: JudgeRequest, say: Translator) -> list[tuple[str, str]]:
    confirm, split = request.confirm, request.images.dataset.split
    return [
        (say("Base model"), str(request.base.path)),
        (
            say("Images"),
            say(
                "{choose} to choose by, {test} to test the choice on, {train} that pictures are compared with for "
                "memorisation; near-duplicates are on one side",
                choose=len(split.validation),
                test=len(split.test),
                train=len(split.train),
            ),
        ),
        (say("Resolution"), say("{size} pixels", size=request.resolution)),
        *provenance.judging(request.judge, say),
        (
            say("Judged again"),
            say(
                "{files} files at a time, up to {rounds} rounds of {timesteps} timesteps an image and {seeds} fresh "
                "seeds a prompt",
                rounds=confirm.rounds,
                files=confirm.finalists,
                timesteps=confirm.timesteps,
                seeds=confirm.seeds_per_prompt,
            ),
        ),
    ]
