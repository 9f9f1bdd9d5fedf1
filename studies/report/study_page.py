"""What the page of a study says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from markupsafe import Markup

from evaluation.metrics.table import METRICS
from studies.report import checkpoint_table, choice, diagnosis, findings, page, plots, range_ends, usage
from studies.report.explanation import rule, sentence
from studies.report.image_grids import Evidence
from studies.report.page import (
    Column,
    Diagnosed,
    FinalistRow,
    Flag,
    Grid,
    GridRow,
    Page,
    Table,
    TableRow,
    Usage,
)
from studies.report.provenance import measured, time_shares, versions
from studies.report.trial_plots import STATES, study_plots
from studies.selection.document import Finalist, Selection
from studies.study.run_times import RunTimes
from studies.study.study import Study
from studies.study.trial import Checkpoint, Trial, read_trials
from studies.text.format import signed
from studies.text.i18n import ENGLISH, Translator, marked
from trainer.files import write_whole
from trainer.lora_files.file import read_metadata

MOST_ROWS = 200
"""Checkpoints in the page's table; the CSV file has all of them."""


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
    write_whole(workspace.checkpoints, checkpoint_table.csv(trials, list(study.spec.search.space)))
    page.write(workspace.report, content(study, selection, trials, say), say)
    return workspace.report


def content(study: Study, selection: Selection, trials: Sequence[Trial], say: Translator = ENGLISH) -> Page:
    """The page's sections."""
    return _StudyPage(study, selection, trials, say).page()


@dataclass(frozen=True)
class _StudyPage:
    study: Study
    selection: Selection
    trials: Sequence[Trial]
    say: Translator

    @cached_property
    def champion(self) -> Trial:
        return next(trial for trial in self.trials if trial.number == self.selection.winner.trial)

    @cached_property
    def evidence(self) -> Evidence:
        return Evidence(self.study, self.champion)

    def page(self) -> Page:
        say, selection, study = self.say, self.selection, self.study
        drawn = plots.draw(study.spec, study.memory, selection, self.trials, say)
        tiles = self._findings()
        winner = selection.winner
        return Page(
            name=study.spec.study.name,
            kind=say("LoRA study"),
            headline=self._headline(),
            reason=choice.reason(selection, say),
            selection=selection,
            flags=self._flags(tiles),
            lines=[self._counts()],
            usage=self._usage(),
            findings=tiles,
            findings_note=self._findings_note(),
            params=winner.params,
            recipes=self._recipes(),
            grid=self._grid(),
            finalists=self._finalists(),
            beside=self.evidence.side_by_side(_best_first(selection)),
            plots=drawn,
            curves=study_plots(drawn, say),
            diagnoses=[self._diagnosis(trial) for trial in self.trials if trial.state != "waiting"],
            diagnosis_headline=diagnosis.headline([diagnosis.diagnose(t) for t in self.trials], say),
            advice=range_ends.ends_hit(
                self.trials, study.spec.space.parameters, study.memory.importances(), say
            ),
            pairs=self.evidence.pairs(self.champion.at(winner.epoch)),
            rule=rule(selection.rule, say),
            ruling=findings.ruling(selection.shares_of_variance, say),
            posts=len(study.spec.space.parameters) + 1,
            slices=[name for name in drawn if name.startswith("slice-")],
            table=self._table(),
            measured=measured(study, selection.rule.spreads, say),
            time=time_shares(RunTimes.of(study.memory), say),
            versions=versions(),
        )

    def _headline(self) -> str:
        winner = self.selection.winner
        if self.selection.final:
            return self.say("Use epoch {epoch} of trial {trial}.", epoch=winner.epoch, trial=winner.trial)
        return self.say(
            "So far, epoch {epoch} of trial {trial} leads.", epoch=winner.epoch, trial=winner.trial
        )

    def _flags(self, tiles: Sequence[findings.Finding]) -> list[Flag]:
        say, selection = self.say, self.selection
        flags = []
        if not selection.final:
            flags.append(
                Flag(
                    say("provisional"),
                    say(
                        "The study has no verdict yet: finalists have not been judged again with fresh seeds, and "
                        "test images have not been used."
                    ),
                )
            )
        if not any(finding.tone == "good" for finding in tiles):
            flags.append(
                Flag(
                    say("no clear gain"),
                    say(
                        "By no figure is it better than the base model beyond two standard errors. Look at the "
                        "pictures before you use it, and give the study more images or another range."
                    ),
                )
            )
        if selection.confirmation and not selection.confirmation.separable:
            flags.append(
                Flag(
                    say("not separable"),
                    say(
                        "Another trial's checkpoint may be just as good; where finalists cannot be told apart, the "
                        "one that needed the fewest images wins."
                    ),
                )
            )
        if barred := sum(one.barred is not None for one in selection.candidates):
            flags.append(Flag(say("guards"), self._guarded(barred, len(selection.candidates))))
        return flags

    def _guarded(self, barred: int, everyone: int) -> str:
        if barred == everyone:
            return self.say(
                "A guard bars every one of the {all} checkpoints, so that none could be preferred.",
                all=everyone,
            )
        return self.say(
            "{count} of {all} checkpoints were barred by a guard and could not win.",
            count=barred,
            all=everyone,
        )

    def _counts(self) -> str:
        states = Counter(trial.state for trial in self.trials)
        parts = [
            self.say("{count} {what}", count=count, what=self.say(STATES[state]))
            for state, count in states.most_common()
        ]
        return self.say(
            "{counts}; {checkpoints} checkpoints scored.",
            counts=self.say(", ").join(parts),
            checkpoints=sum(len(trial.checkpoints) for trial in self.trials),
        )

    def _usage(self) -> Usage:
        workspace, final = self.study.workspace, self.selection.final
        own = workspace.root / self.selection.winner.file
        path = workspace.best if final and workspace.best.exists() else own
        metadata = read_metadata(path) if path.exists() else {}
        return Usage(
            path=str(path.resolve()),
            exists=path.exists(),
            base=str(self.study.spec.plan["base"]["path"]),
            word=usage.trigger_word(metadata),
            advice=usage.advice(metadata, self.say),
            export=f"lorasearch export {workspace.root} ~/webui/models/Lora" if final else "",
        )

    def _findings(self) -> list[findings.Finding]:
        split, selection = self.study.dataset.split, self.selection
        if selection.test:
            return findings.findings(selection.test, len(split.test), "test", self.say)
        return findings.findings(selection.winner.scores, len(split.validation), "validation", self.say)

    def _findings_note(self) -> str:
        say = self.say
        if self.selection.final:
            text = say(
                "Measured once, at the end, on images that neither training nor choosing has seen (test images: "
                "{count}).",
                count=len(self.study.dataset.split.test),
            )
            text = f"{text} {choice.earlier_tests(self.selection, say)}"
        else:
            text = say(
                "Measured on the validation images by which the leader was chosen, so a little too good."
            )
        note = say("± is one standard error; a difference below two of them is not called one.")
        return f"{text} {note}"

    def _recipes(self) -> str:
        """How the study file's own recipes fared, which the search had to beat."""
        count = len(self.study.spec.first)
        tried = [trial for trial in self.trials[:count] if trial.best]
        if not tried:
            return ""
        if self.champion.number < count:
            return self.say(
                "The search did not beat the study file's own starting recipe: trial {trial} is one.",
                trial=self.champion.number,
            )
        best = max(tried, key=lambda trial: trial.objective or 0.0)
        return self.say(
            "For comparison: the best recipe that the study file starts with (trial {recipe}) reached an objective "
            "of {before}, the chosen trial {after}.",
            recipe=best.number,
            before=signed(best.objective, 2),
            after=signed(self.champion.objective, 2),
        )

    def _grid(self) -> Grid | None:
        say, found, winner = self.say, self.evidence.grid(), self.selection.winner
        if not found.rows:
            return None
        base = say("base model")
        rows = [GridRow(base, [say("without LoRA")], found.base, base)] if found.base else []
        for row in found.rows:
            one, label = row.checkpoint, say("epoch {epoch}", epoch=row.checkpoint.epoch)
            notes = [
                say("{images} images", images=one.images_seen),
                say("objective {figure}", figure=signed(one.objective, 2)),
            ]
            rows.append(GridRow(label, notes, row.tiles, label, won=one.epoch == winner.epoch))
        if any(found.originals):
            label, note = say("your image"), say("held out, never trained on")
            rows.append(GridRow(label, [note], found.originals, say("held-out image"), ruled=True))
        text = say(
            "Trial {trial}, epoch by epoch, with the same prompts and seeds in every row. The chosen epoch is marked.",
            trial=winner.trial,
        )
        return Grid(say("What it draws"), text, found.prompts, rows)

    def _finalists(self) -> list[FinalistRow]:
        confirmation, winner = self.selection.confirmation, self.selection.winner
        if confirmation is None:
            return []
        return [
            FinalistRow(
                name=choice.checkpoint(one.trial, one.epoch, self.say),
                finalist=one,
                won=one.key == winner.key,
                close=one.close and not confirmation.separable,
                barred=sentence(one.barred, self.say) if one.barred else "",
            )
            for one in _best_first(self.selection)
        ]

    def _diagnosis(self, trial: Trial) -> Diagnosed:
        say, found = self.say, diagnosis.diagnose(trial)
        told = found is None or found.condition not in diagnosis.STOPPED
        return Diagnosed(
            trial=trial.number,
            state=say(STATES[trial.state]),
            condition=found.condition if found else "",
            name=say(diagnosis.CONDITIONS[found.condition]) if found else "–",
            sentence=found.told(say) if found else "",
            remedy=say(found.remedy) if found and found.remedy else "",
            reason=diagnosis.end(trial, say) if told else "",
            best=trial.best,
        )

    def _table(self) -> Table:
        say, ranked = self.say, checkpoint_table.ranked(self.trials)
        rows = [self._row(trial, one) for trial, one in ranked[:MOST_ROWS]]
        where = self.study.workspace.checkpoints.name
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

    def _row(self, trial: Trial, one: Checkpoint) -> TableRow:
        weighed = next((c for c in self.selection.candidates if c.key == one.key), None)
        return TableRow(
            name=choice.checkpoint(one.trial, one.epoch, self.say),
            checkpoint=one,
            objective=weighed.objective.mean if weighed and weighed.objective else one.objective,
            images=one.images_seen,
            outcome=self.say(STATES[trial.state]),
            won=one.key == self.selection.winner.key,
            barred=weighed is not None and weighed.barred is not None,
            front=any((key.trial, key.epoch) == one.key for key in self.selection.pareto),
        )


def columns(everyone: Sequence[Checkpoint], say: Translator) -> list[Column]:
    """The metrics of pictures that were measured on any checkpoint."""
    found = []
    for name, metric in METRICS.items():
        known = [one.scores.metrics[name] for one in everyone if name in one.scores.metrics]
        if metric.measure and known:
            found.append(Column(name, findings.metric(name, say), known[0].base, metric.digits))
    return found


def _best_first(selection: Selection) -> list[Finalist]:
    return sorted(selection.finalists, key=lambda one: -one.objective.mean)
