"""From LoRA files to a verdict: scored, shortlisted, confirmed with fresh seeds, the best one tested."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from evaluation.scorecard import ScoreCard
from search.objective import shares
from search.selection import Candidate, Decision, decide, rule_text, shortlist
from search.trial import TrialRecord
from studies.cards import candidate, plain
from studies.diagnosis import diagnose
from studies.judging import Bench, Case, Document, Told
from studies.lora_runs import amounts

FORMAT = 1
"""Of judgement.json."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What was found, and the pictures behind it."""

    document: Document
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

    def name(self, index: int) -> str:
        checkpoint = self.case.checkpoints[index]
        runs = {one.run for one in self.case.checkpoints}
        label = f"epoch {checkpoint.label}" if checkpoint.unit == "epoch" else checkpoint.label
        label = "the last epoch" if checkpoint.label == "last" else label
        return label if len(runs) == 1 else f"{checkpoint.run}, {label}"


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
    finalists = shortlist(everyone, case.confirm.finalists)
    fresh = bench.confirm([finalist.trial for finalist in finalists])
    confirmed = [court.candidate(f.trial, scores) for f, scores in zip(finalists, fresh, strict=True)]
    decision = decide(confirmed)
    tested = bench.test(decision.winner.trial) if case.images.dataset.split.test else None
    document = _document(court, everyone, decision, confirmed, fresh, tested)
    return Judgement(document, bench.prompts, bench.base_renders, [renders for _, renders in scored])


def _document(
    court: _Court,
    everyone: Sequence[Candidate],
    decision: Decision,
    confirmed: Sequence[Candidate],
    fresh: Sequence[ScoreCard],
    tested: ScoreCard | None,
) -> Document:
    case, split = court.case, court.case.images.dataset.split
    winner = decision.winner
    again = {c.trial: (c, scores) for c, scores in zip(confirmed, fresh, strict=True)}
    found = {c.trial: c for c in everyone}
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
        "warnings": list(case.images.warnings),
        "rule": rule_text(case.objective, guards=case.guards.rule),
        "winner": {
            "file": str(case.checkpoints[winner.trial].path),
            "run": case.checkpoints[winner.trial].run,
            "epoch": case.checkpoints[winner.trial].number,
            "label": court.name(winner.trial),
            "reason": reason(decision, court.name, len(confirmed)),
            "separable": decision.separable,
        },
        "test": None if tested is None else tested.plain(),
        "spreads": dict(court.spreads),
        "shares_of_variance": shares([c.scores for c in everyone], court.spreads, case.objective),
        "runs": _runs(court),
        "files": [
            _file(court, i, found.get(i), again.get(i), decision) for i in range(len(case.checkpoints))
        ],
    }


def _file(
    court: _Court,
    index: int,
    candidate: Candidate | None,
    again: tuple[Candidate, ScoreCard] | None,
    decision: Decision,
) -> dict[str, Any]:
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
        "unusable": card.unusable,
        "verdict": _verdict(index, card, candidate, again and again[0], decision),
        "scores": card.plain(),
        "confirmed": None if again is None else {"objective": plain(again[0]), "scores": again[1].plain()},
    }


def _verdict(
    index: int, card: ScoreCard, found: Candidate | None, again: Candidate | None, decision: Decision
) -> str:
    """The last column of the table."""
    if index == decision.winner.trial:
        return "best"
    if found is None:
        return f"unusable: {card.unusable}"
    if again is not None and again.barred:
        return f"barred: {again.barred}"
    if found.barred:
        return f"barred: {found.barred}"
    if again is None:
        return "behind"
    close = any(one.trial == index for one in decision.close)
    return "as good, but later" if close else "behind, judged again"


def reason(decision: Decision, name: Callable[[int], str], finalists: int) -> str:
    """The choice in plain English, with files called by their epochs."""
    winner, best = decision.winner, decision.best
    called = name(winner.trial)
    if called.startswith(("epoch ", "step ", "the last")):
        called = called[0].upper() + called[1:]
    text = f"{called} ({_figures(winner)})"
    if finalists == 1:
        text += " is the only one that can be chosen."
    elif winner == best:
        text += f" is the best of {finalists} that were judged again with fresh seeds."
    else:
        text += (
            f" is the earliest of {finalists} that were judged again within one standard error of the best, "
            f"{name(best.trial)} ({_figures(best)})."
        )
    rivals = [c for c in decision.close if c.trial not in (winner.trial, best.trial)]
    if rivals:
        text += f" Nor can it be told apart from {'; '.join(name(c.trial) for c in rivals)}."
    if winner.barred is not None:
        text += (
            f" A guard bars every one of them, so that none could be preferred; of this one, {winner.barred}."
        )
    if winner.objective.mean <= 0:
        text += " It is no better than the base model without a LoRA."
    return text


def _runs(court: _Court) -> list[dict[str, Any]]:
    """Each run with what its curve says."""
    found = []
    for number, run in enumerate(dict.fromkeys(one.run for one in court.case.checkpoints)):
        members = [i for i, one in enumerate(court.case.checkpoints) if one.run == run]
        cards = tuple(
            {"epoch": court.case.checkpoints[i].number, "images_seen": 0, "scores": court.cards[i].plain()}
            for i in members
        )
        record = TrialRecord(number=number, values={}, state="finished", cards=cards)
        said = diagnose(record) if len(members) > 1 else None
        found.append({"run": run, "files": len(members), "diagnosis": None if said is None else str(said)})
    return found


def _figures(choice: Candidate) -> str:
    return f"objective {choice.objective.mean:.2f} ± {choice.objective.standard_error:.2f}"


def files_in(folder: Path) -> tuple[Path, Path]:
    """What a judgement writes: its JSON and its page."""
    return folder / "judgement.json", folder / "report.html"
