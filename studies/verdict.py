"""From all score cards to the best file: shortlist, confirmation, test, selection.json."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from evaluation.pooling import repeated
from evaluation.scorecard import ScoreCard
from search.objective import Weights, shares
from search.pareto import front
from search.selection import Candidate, Decision, contenders, decide, earliest, margin, shortlist
from search.trial import Proposal, TrialRecord
from studies.cards import candidate, candidates, facts, plain
from studies.engine import Engine, Exam
from studies.problems import StudyError
from studies.spec import StudySpec
from studies.study import SPREADS, VERDICT, Study
from studies.workspace import copy_whole, write_json

TEST_CARE = 4
"""How many times the confirmation's timesteps, seeds and other prompts the winner, alone, meets in the test."""
Verdict = dict[str, Any]
"""The content of selection.json."""


@dataclass(frozen=True, slots=True)
class _Court:
    """What a verdict is reached with."""

    study: Study
    records: Sequence[TrialRecord]
    spreads: Mapping[str, float]

    def card(self, choice: Candidate) -> Mapping[str, Any]:
        cards = self.records[choice.trial].cards
        return next(card for card in cards if card["epoch"] == choice.epoch)

    def again(self, choice: Candidate, fresh: ScoreCard) -> Candidate:
        spec = self.study.spec
        return candidate(choice.trial, self.card(choice), fresh, self.spreads, spec.objective, spec.guards)

    def everyone(self) -> list[Candidate]:
        spec = self.study.spec
        return candidates(self.records, self.spreads, spec.objective, spec.guards)


def conclude(study: Study, engine: Engine) -> Verdict:
    """Chooses among all checkpoints, confirms with fresh seeds, tests once, and writes best.safetensors.

    A verdict that already stands on the same trials is not reached again; of several runners one reaches it.

    Raises:
        NothingToSelect: no checkpoint is usable.
    """

    def reach() -> None:
        study.memory.remember(VERDICT, _reach(_court(study, study.memory.records()), engine))

    study.leases.once("verdict", lambda: _stands(study), reach)
    standing: Verdict = study.memory.recall(VERDICT)
    file = study.workspace.root / standing["winner"]["file"]
    if study.depot:
        _gather(study, file)
    copy_whole(file, study.workspace.best)
    write_json(study.workspace.selection, standing)
    return standing


def _stands(study: Study) -> bool:
    """Whether there is a verdict on all trials."""
    standing: Verdict | None = study.memory.recall(VERDICT)
    return standing is not None and standing["trials"] == len(study.memory.records())


def _gather(study: Study, best: Path) -> None:
    """Brings what the report shows of other runners' trials: the best file, renders and artifacts."""
    assert study.depot is not None
    study.depot.fetch(best.parent, best.name)
    study.depot.fetch(study.workspace.artifacts)
    for record in study.memory.records():
        study.depot.fetch(study.workspace.trial(record.number), "*.png")


def provisional(study: Study, weights: Weights | None = None) -> Verdict:
    """A choice from stored scores alone: not confirmed, not tested.

    Args:
        study: opened.
        weights: of the metrics in the objective; None takes the study file's.

    Raises:
        NothingToSelect: no checkpoint is usable yet.
        StudyError: a weighted metric was not measured in this study.
    """
    if weights is not None:
        _check_measured(study, weights)
        study = replace(study, spec=study.spec.model_copy(update={"objective": dict(weights)}))
    court = _court(study, study.memory.records())
    everyone = court.everyone()
    preference = study.spec.confirm.preference
    choice = earliest(everyone, preference)
    reason = f"The earliest checkpoint within {margin(preference)} of the best so far; not yet confirmed."
    if choice.barred is not None:
        reason += f" A guard bars every checkpoint so far; of this one, {choice.barred}."
    return _document(court, everyone, choice, reason) | {"confirmation": None, "test": None}


def _check_measured(study: Study, weights: Weights) -> None:
    measured = study.memory.recall(SPREADS) or {}
    missing = [name for name, weight in weights.items() if weight > 0 and name not in measured]
    if missing:
        raise StudyError(
            f"{', '.join(missing)} was not measured in this study; weigh only: {', '.join(sorted(measured))}."
        )


def _court(study: Study, records: Sequence[TrialRecord]) -> _Court:
    return _Court(study, records, study.memory.recall(SPREADS) or {})


def _reach(court: _Court, engine: Engine) -> Verdict:
    spec = court.study.spec
    everyone = court.everyone()
    finalists = shortlist(everyone, spec.confirm.finalists)
    _bring(court.study, finalists)
    hearing = _hear(court, engine, finalists)
    winner = hearing.decision.winner
    engine.settle(Proposal(winner.trial, dict(court.records[winner.trial].values)), winner.epoch)
    if depot := court.study.depot:
        depot.push(court.study.workspace.trial(winner.trial))
    (tested,) = engine.examine([(winner.trial, winner.epoch)], _exam(spec, "test", "test", TEST_CARE))
    document = _document(court, everyone, winner, hearing.decision.reason)
    return document | {"confirmation": _confirmation(finalists, hearing), "test": tested}


def _bring(study: Study, finalists: Sequence[Candidate]) -> None:
    """Fetches the finalists' files that other runners made.

    Raises:
        StudyError: there is no way to them.
    """
    for finalist in finalists:
        folder, pattern = study.workspace.trial(finalist.trial), f"*-{finalist.epoch:06d}.safetensors"
        if study.depot:
            study.depot.fetch(folder, pattern)
        if study.memory.is_shared and not list(folder.glob(pattern)):
            raise StudyError(
                f"{folder}: trial {finalist.trial} was trained by a runner whose folder this one cannot see; give all "
                "runners the same --workspace, or set storage.checkpoints in the study file, and run again."
            )


@dataclass(frozen=True, slots=True)
class _Hearing:
    """What judging the finalists again has come to."""

    decision: Decision
    confirmed: Sequence[Candidate]
    scores: Sequence[ScoreCard]
    rounds: Sequence[int]
    """How often each finalist was measured again."""


def _hear(court: _Court, engine: Engine, finalists: Sequence[Candidate]) -> _Hearing:
    """Judges the finalists again and again until one trial is ahead or the rounds are spent.

    From the second round on only those are measured that are not yet clearly behind.
    """
    spec = court.study.spec
    heard: list[list[ScoreCard]] = [[] for _ in finalists]
    going = list(range(len(finalists)))
    for number in range(1, spec.confirm.rounds + 1):
        label = "confirmation" if number == 1 else f"confirmation {number}"
        fresh = engine.examine(
            [(finalists[i].trial, finalists[i].epoch) for i in going], _exam(spec, "validation", label)
        )
        for i, scores in zip(going, fresh, strict=True):
            heard[i].append(ScoreCard.model_validate(scores))
        cards = [repeated(of) for of in heard]
        confirmed = [court.again(f, card) for f, card in zip(finalists, cards, strict=True)]
        decision = decide([confirmed[i] for i in going], len(finalists), spec.confirm.preference)
        if decision.separable:
            break
        ahead = contenders([confirmed[i] for i in going])
        going = [i for i in going if confirmed[i] in ahead]
    return _Hearing(decision, confirmed, cards, [len(of) for of in heard])


def _exam(spec: StudySpec, side: str, label: str, care: int = 1) -> Exam:
    confirm = spec.confirm
    return Exam(
        side,
        care * confirm.timesteps,
        confirm.prompt_count,
        care * confirm.seeds_per_prompt,
        label,
        care * confirm.outside_prompt_count,
    )


def _document(court: _Court, everyone: Sequence[Candidate], choice: Candidate, reason: str) -> Verdict:
    card, spec = court.card(choice), court.study.spec
    return {
        "study": spec.study.name,
        "seed": court.study.seed,
        "trials": len(court.records),
        "rule": spec.rule,
        "winner": {
            "trial": choice.trial,
            "epoch": choice.epoch,
            "images_seen": choice.images_seen,
            "file": card["file"],
            "params": court.records[choice.trial].values,
            "scores": card["scores"],
            "objective": plain(choice),
            "reason": reason,
        },
        "spreads": dict(court.spreads),
        "shares_of_variance": shares([c.scores for c in everyone], court.spreads, spec.objective),
        "pareto": [{"trial": c.trial, "epoch": c.epoch} for c in front(everyone, _compared(spec, everyone))],
        "candidates": [
            {
                "trial": c.trial,
                "epoch": c.epoch,
                "images_seen": c.images_seen,
                "objective": plain(c),
                "barred": c.barred,
                "scores": facts(court.card(c)).plain(),
            }
            for c in everyone
        ],
    }


def _compared(spec: StudySpec, everyone: Sequence[Candidate]) -> list[str]:
    """The weighted metrics, between which a front is drawn; all that were measured where only one is."""
    weighted = [name for name, weight in spec.objective.items() if weight > 0]
    everywhere = set.intersection(*(set(candidate.scores) for candidate in everyone))
    return weighted if len(weighted) > 1 else sorted(everywhere)


def _confirmation(finalists: Sequence[Candidate], hearing: _Hearing) -> dict[str, Any]:
    decision, heard = hearing.decision, zip(hearing.confirmed, hearing.scores, hearing.rounds, strict=True)
    return {
        "separable": decision.separable,
        "reason": decision.reason,
        "rounds": max(hearing.rounds),
        "finalists": [
            {
                "trial": before.trial,
                "epoch": before.epoch,
                "images_seen": before.images_seen,
                "objective_before": plain(before),
                "objective": plain(after),
                "close": after in decision.close,
                "barred": after.barred,
                "rounds": rounds,
                "scores": scores.plain(),
            }
            for before, (after, scores, rounds) in zip(finalists, heard, strict=True)
        ],
    }
