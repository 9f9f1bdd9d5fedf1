"""What the page of a study says of its choice: the headline, what to beware of, figures, finalists and use."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from studies.report import choice, explanation, findings, usage
from studies.report.findings import Finding
from studies.report.page import FinalistRow, Flag, Usage
from studies.report.trial_plots import STATES
from studies.selection.document import Finalist, Selection
from studies.study.study import Study
from studies.study.trial import Trial
from studies.text.i18n import Translator
from trainer.lora_files.file import read_metadata


@dataclass(frozen=True)
class ChoiceSection:
    """The choice of a study, in sentences and rows.

    Attributes:
        study: opened.
        selection: what was chosen, for good or so far.
        trials: all of them.
        say: the language.
    """

    study: Study
    selection: Selection
    trials: Sequence[Trial]
    say: Translator

    @property
    def reason(self) -> str:
        """Why it was chosen."""
        return choice.reason(self.selection, self.say)

    @property
    def rule(self) -> str:
        """By what."""
        return explanation.rule(self.selection.rule, self.say)

    @property
    def ruling(self) -> str:
        """Which metric decided."""
        return findings.ruling(self.selection.shares_of_variance, self.say)

    @property
    def headline(self) -> str:
        """Which checkpoint to use."""
        winner = self.selection.winner
        if self.selection.final:
            use = self.say("Use epoch {epoch} of trial {trial}.", epoch=winner.epoch, trial=winner.trial)
            return choice.headline(self.selection, use, self.say)
        return self.say(
            "So far, epoch {epoch} of trial {trial} leads.", epoch=winner.epoch, trial=winner.trial
        )

    @property
    def flags(self) -> list[Flag]:
        """What to beware of."""
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

    @property
    def counts(self) -> str:
        """How many trials came to which end."""
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

    @property
    def usage(self) -> Usage:
        """How the file is used."""
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

    @cached_property
    def findings(self) -> list[Finding]:
        """The figures against the base model."""
        split, selection = self.study.dataset.split, self.selection
        if selection.test:
            return findings.findings(selection.test, len(split.test), "test", self.say)
        return findings.findings(selection.winner.scores, len(split.validation), "validation", self.say)

    @property
    def findings_note(self) -> str:
        """What the figures were measured on."""
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

    @property
    def recipes(self) -> str:
        """How the study file's own recipes fared, which the search had to beat."""
        chosen, told = self.selection.winner.trial, choice.baselines(self.selection, self.say)
        if chosen < len(self.study.spec.first):
            own = self.say(
                "The search did not beat the study file's own starting recipe: trial {trial} is one.",
                trial=chosen,
            )
            told = [own, *told]
        return " ".join(told)

    @property
    def finalists(self) -> list[FinalistRow]:
        """Those that were judged again, the best first."""
        confirmation, winner = self.selection.confirmation, self.selection.winner
        if confirmation is None:
            return []
        return [
            FinalistRow(
                name=choice.checkpoint(one.trial, one.epoch, self.say),
                finalist=one,
                won=one.key == winner.key,
                close=one.close and not confirmation.separable,
                barred=explanation.sentence(one.barred, self.say) if one.barred else "",
            )
            for one in best_first(self.selection)
        ]


def best_first(selection: Selection) -> list[Finalist]:
    """Finalists by what they were worth when they were judged again."""
    return sorted(selection.finalists, key=lambda one: -one.objective.mean)
