"""What the page of a study says."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from studies.report import checkpoint_section, checkpoint_table, diagnosis_section, page, plots, provenance
from studies.report.choice_section import ChoiceSection, best_first
from studies.report.page import Page
from studies.report.picture_section import PictureSection
from studies.selection.document import Selection
from studies.study.study import Study
from studies.study.trial import Trial, read_trials
from studies.text.i18n import ENGLISH, Translator


def write(study: Study, selection: Selection, say: Translator = ENGLISH) -> Path:
    """Writes ``report.html`` and ``checkpoints.csv``, each whole or not at all.

    Args:
        study: opened.
        selection: what was chosen, for good or so far.
        say: the page's language.

    Returns:
        The page's path.
    """
    trials, workspace = read_trials(study.memory), study.workspace
    checkpoint_table.write(workspace.checkpoints, trials, list(study.spec.search.space))
    page.write(workspace.report, content(study, selection, trials, say), say)
    return workspace.report


def content(study: Study, selection: Selection, trials: Sequence[Trial], say: Translator = ENGLISH) -> Page:
    """The page's sections."""
    choice, winner = ChoiceSection(study, selection, trials, say), selection.winner
    champion = next(trial for trial in trials if trial.number == winner.trial)
    pictures = PictureSection(study, selection, champion, say)
    drawn = plots.draw(study.spec, study.memory, selection, trials, say)
    return Page(
        name=study.spec.study.name,
        kind=say("LoRA study"),
        headline=choice.headline,
        reason=choice.reason,
        selection=selection,
        flags=choice.flags,
        lines=[choice.counts],
        usage=choice.usage,
        findings=choice.findings,
        findings_note=choice.findings_note,
        params=winner.params,
        recipes=choice.recipes,
        grid=pictures.grid,
        finalists=choice.finalists,
        beside=pictures.beside(best_first(selection)),
        plots=drawn,
        curves=plots.of_trials(drawn, say),
        diagnoses=diagnosis_section.rows(trials, say),
        diagnosis_headline=diagnosis_section.headline(trials, say),
        advice=diagnosis_section.advice(study, trials, say),
        pairs=pictures.pairs,
        rule=choice.rule,
        ruling=choice.ruling,
        posts=len(study.spec.space.parameters) + 1,
        slices=[name for name in drawn if name.startswith("slice-")],
        table=checkpoint_section.table(selection, trials, study.workspace.checkpoints.name, say),
        measured=provenance.measured(study, selection, say),
        time=provenance.time_shares(study, say),
        versions=provenance.versions(),
    )
