"""From LoRA files to a verdict: scored, shortlisted, confirmed with fresh seeds, the best one tested."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from evaluation.scorecard import ScoreCard
from search.objective import shares
from search.selection import Candidate, Decision
from search.trial import TrialRecord
from studies.engines.judging import Bench, Case, Document, Told
from studies.report import checkpoint_table
from studies.report.diagnosis import diagnose
from studies.report.explanation import margin, rule, sentence
from studies.selection.checkpoint import candidate, plain
from studies.selection.confirmation import hear
from studies.selection.lora_runs import amounts
from studies.text.i18n import ENGLISH, Translator

FORMAT = 1
"""Of judgement.json."""


@dataclass(frozen=True, slots=True)
class Said:
    """What a person reads of a judgement, in one language."""

    winner: str
    """What the winner is called."""
    reason: str
    rule: str
    verdicts: Sequence[str]
    """Of each file."""
    diagnoses: Sequence[str | None]
    """Of each run; None where it is a single file."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What was found, and the pictures behind it."""

    document: Document
    said: Callable[[Translator], Said]
    """The sentences of the document, in a language."""
    prompts: Sequence[str]
    base_renders: Tensor
    """Shape (prompts, 3, height, width), in [0, 1]."""
    renders: Sequence[Tensor]
    """Of each file."""


@dataclass(frozen=True, slots=True)
class _Court:
    case: Case
    cards: Sequence[ScoreCard]
    spreads: Mapping[str, float]

    def candidate(self, index: int, scores: ScoreCard) -> Candidate:
        """A file as the selection sees it: each is a trial of its own, so that epochs are told apart."""
        checkpoint = self.case.checkpoints[index]
        facts = {
            "epoch": checkpoint.number,
            "images_seen": amounts(self.case.checkpoints)[index],
            "rank": self.case.ranks[index],
        }
        return candidate(index, facts, scores, self.spreads, self.case.objective, self.case.guards)

    def everyone(self) -> list[Candidate]:
        return [self.candidate(i, card) for i, card in enumerate(self.cards) if card.unusable is None]

    def name(self, index: int, say: Translator) -> str:
        checkpoint = self.case.checkpoints[index]
        runs = {one.run for one in self.case.checkpoints}
        label = (
            say("epoch {label}", label=checkpoint.label) if checkpoint.unit == "epoch" else checkpoint.label
        )
        label = say("the last epoch") if checkpoint.label == "last" else label
        return label if len(runs) == 1 else say("{run}, {label}", run=checkpoint.run, label=label)


@dataclass(frozen=True, slots=True)
class _Session:
    """The court with a bench that measures."""

    court: _Court
    bench: Bench

    def measure(self, finalists: Sequence[Candidate], label: str) -> list[ScoreCard]:
        return self.bench.confirm([finalist.trial for finalist in finalists], label)

    def again(self, finalist: Candidate, fresh: ScoreCard) -> Candidate:
        return self.court.candidate(finalist.trial, fresh)


def reach(case: Case, told: Told) -> Judgement:
    """Judges every file.

    Raises:
        NothingToSelect: no file renders or predicts anything usable.
    """
    bench = Bench(case, told)
    spreads = bench.spreads()
    scored = bench.score(range(len(case.checkpoints)))
    court = _Court(case, [card for card, _ in scored], spreads)
    everyone = court.everyone()
    hearing = hear(_Session(court, bench), everyone, case.confirm)
    again = {c.trial: (c, scores) for c, scores in zip(hearing.confirmed, hearing.scores, strict=True)}
    outcome = _Outcome(court, {c.trial: c for c in everyone}, again, hearing.decision)
    winner = outcome.decision.winner.trial
    tested = bench.test(winner) if case.images.dataset.split.test else None
    pictures = [renders for _, renders in scored]
    return Judgement(_document(outcome, tested), outcome.said, bench.prompts, bench.base_renders, pictures)


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What everything was found to be, by the number of a file."""

    court: _Court
    found: Mapping[int, Candidate]
    again: Mapping[int, tuple[Candidate, ScoreCard]]
    decision: Decision

    def said(self, say: Translator) -> Said:
        case = self.court.case
        return Said(
            winner=self.court.name(self.decision.winner.trial, say),
            reason=self._reason(say),
            rule=rule(case.objective, case.guards, case.confirm.preference, say),
            verdicts=[self._verdict(index, say) for index in range(len(case.checkpoints))],
            diagnoses=[_diagnosed(self.court, members, say) for members in _runs(self.court).values()],
        )

    def _reason(self, say: Translator) -> str:
        within = margin(self.court.case.confirm.preference, say)
        return reason(self.decision, lambda index: self.court.name(index, say), len(self.again), within, say)

    def _verdict(self, index: int, say: Translator) -> str:
        """The last column of the table."""
        again = self.again.get(index)
        if index == self.decision.winner.trial:
            return say("best")
        if (trouble := self.court.cards[index].unusable) is not None:
            return say("unusable: {reason}", reason=sentence(trouble, say))
        for card in ([again[1]] if again else []) + [self.court.cards[index]]:
            if barred := self.court.case.guards.barred(card):
                return say("barred: {reason}", reason=sentence(barred, say))
        if again is None:
            return say("behind")
        close = any(one.trial == index for one in self.decision.close)
        return say("as good, but later") if close else say("behind, judged again")


def _document(outcome: _Outcome, tested: ScoreCard | None) -> Document:
    court, said = outcome.court, outcome.said(ENGLISH)
    case, split = court.case, court.case.images.dataset.split
    winner, everyone = outcome.decision.winner, list(outcome.found.values())
    return {
        "format": FORMAT,
        "base": str(case.base.path),
        "clip": case.judge.clip,
        "resolution": case.resolution,
        "images": {
            "train": len(split.train),
            "validation": len(split.validation),
            "test": len(split.test),
            "never_trained_on": case.images.never_trained_on,
        },
        "warnings": [sentence(warning) for warning in case.images.warnings],
        "rule": said.rule,
        "winner": {
            "file": str(case.checkpoints[winner.trial].path),
            "run": case.checkpoints[winner.trial].run,
            "epoch": case.checkpoints[winner.trial].number,
            "label": said.winner,
            "reason": said.reason,
            "separable": outcome.decision.separable,
        },
        "test": None if tested is None else tested.plain(),
        "spreads": dict(court.spreads),
        "shares_of_variance": shares([c.scores for c in everyone], court.spreads, case.objective),
        "runs": [
            {"run": run, "files": len(members), "diagnosis": told}
            for (run, members), told in zip(_runs(court).items(), said.diagnoses, strict=True)
        ],
        "files": [_file(outcome, i, verdict) for i, verdict in enumerate(said.verdicts)],
    }


def _file(outcome: _Outcome, index: int, verdict: str) -> dict[str, Any]:
    court, candidate, again = outcome.court, outcome.found.get(index), outcome.again.get(index)
    checkpoint, card = court.case.checkpoints[index], court.cards[index]
    return {
        "file": str(checkpoint.path),
        "run": checkpoint.run,
        "epoch": checkpoint.number,
        "unit": checkpoint.unit,
        "label": checkpoint.label,
        "images_seen": checkpoint.images_seen,
        "rank": court.case.ranks[index],
        "layers": court.case.layers[index],
        "objective": None if candidate is None else plain(candidate),
        "barred": None if candidate is None else candidate.barred,
        "unusable": None if card.unusable is None else sentence(card.unusable),
        "verdict": verdict,
        "scores": card.plain(),
        "confirmed": None if again is None else {"objective": plain(again[0]), "scores": again[1].plain()},
    }


def reason(
    decision: Decision, name: Callable[[int], str], finalists: int, within: str, say: Translator = ENGLISH
) -> str:
    """The choice in plain words, with files called by their epochs.

    Args:
        decision: what was chosen.
        name: what a file is called, by its number.
        finalists: how many were judged again.
        within: the margin of the rule, in words.
        say: the language.
    """
    winner, best = decision.winner, decision.best
    called = _figures(name(winner.trial), winner, say)
    if name(winner.trial).startswith(("epoch ", "step ", "the last")):
        called = called[0].upper() + called[1:]
    if finalists == 1:
        text = say("{name} is the only one that can be chosen.", name=called)
    elif winner == best:
        text = say(
            "{name} is the best of {count} that were judged again with fresh seeds.",
            name=called,
            count=finalists,
        )
    else:
        text = say(
            "{name} is the earliest of {count} that were judged again within {margin} of the best, {best}.",
            margin=within,
            name=called,
            count=finalists,
            best=_figures(name(best.trial), best, say),
        )
    rivals = [c for c in decision.close if c.trial not in (winner.trial, best.trial)]
    if rivals:
        names = say("; ").join(name(c.trial) for c in rivals)
        text += say(" Nor can it be told apart from {names}.", names=names)
    if winner.barred is not None:
        text += say(
            " A guard bars every one of them, so that none could be preferred; of this one, {reason}.",
            reason=winner.barred,
        )
    if winner.objective.mean <= 0:
        text += say(" It is no better than the base model without a LoRA.")
    return text


def _runs(court: _Court) -> dict[str, list[int]]:
    """The numbers of each run's files."""
    found: dict[str, list[int]] = {}
    for index, one in enumerate(court.case.checkpoints):
        found.setdefault(one.run, []).append(index)
    return found


def _diagnosed(court: _Court, members: Sequence[int], say: Translator) -> str | None:
    """What a run's curve says; None where it is a single file."""
    if len(members) < 2:
        return None
    cards = tuple(
        {"epoch": court.case.checkpoints[i].number, "images_seen": 0, "scores": court.cards[i].plain()}
        for i in members
    )
    said = diagnose(TrialRecord(number=0, values={}, state="finished", cards=cards))
    return None if said is None else said.advised(say)


def _figures(name: str, choice: Candidate, say: Translator) -> str:
    figures = f"{choice.objective.mean:.2f} ± {choice.objective.standard_error:.2f}"
    return say("{name} (objective {figures})", name=name, figures=figures)


def csv(document: Document) -> bytes:
    """One row a file, with the columns of a study's table and the run's name."""
    runs = [entry["run"] for entry in document["runs"]]
    cards = {run: tuple(_card(f) for f in document["files"] if f["run"] == run) for run in runs}
    records = [TrialRecord(number, {"run": run}, "finished", cards[run]) for number, run in enumerate(runs)]
    return checkpoint_table.csv(records, ["run"])


def _card(entry: Mapping[str, Any]) -> dict[str, Any]:
    """A file of the document as a trial's score card."""
    objective = entry["objective"] or {"mean": None, "standard_error": None}
    return {
        "epoch": entry["epoch"],
        "images_seen": entry["images_seen"],
        "objective": objective["mean"],
        "objective_error": objective["standard_error"],
        "barred": entry["barred"],
        "file": entry["file"],
        "scores": entry["scores"],
    }


def files_in(folder: Path) -> tuple[Path, Path, Path]:
    """What a judgement writes: its JSON, its page and its table."""
    return folder / "judgement.json", folder / "report.html", folder / "checkpoints.csv"
