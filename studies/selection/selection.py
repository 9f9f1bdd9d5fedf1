"""From all score cards to the best file: shortlist, confirmation, test, selection.json."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from evaluation.scorecard import ScoreCard
from search.objective import Weights, shares
from search.pareto import front
from search.selection import Candidate, contenders, decide, earliest, margin
from search.trial import Proposal, TrialRecord
from studies.engines.engine import Engine, Exam
from studies.errors import StudyError
from studies.report import explanation
from studies.selection.checkpoint import candidate, candidates, facts, plain
from studies.selection.confirmation import Hearing, hear
from studies.spec.study_file import StudySpec
from studies.study.open import stands
from studies.study.study import SPREADS, VERDICT, Study
from studies.workspace import copy_whole, write_json

TEST_CARE = 4
"""How many times the confirmation's timesteps, seeds and other prompts the winner, alone, meets in the test."""
TESTED = "tested"
"""Where the memory keeps what the test images said of every checkpoint that ever won."""
Verdict = dict[str, Any]
"""The content of selection.json."""


@dataclass(frozen=True, slots=True)
class _Court:
    """What a choice is made from."""

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


@dataclass(frozen=True, slots=True)
class _Bench:
    """The court with an engine that measures."""

    court: _Court
    engine: Engine

    def measure(self, finalists: Sequence[Candidate], label: str) -> list[ScoreCard]:
        _bring(self.court.study, finalists)
        keys = [(finalist.trial, finalist.epoch) for finalist in finalists]
        found = self.engine.examine(keys, _exam(self.court.study.spec, "validation", label))
        return [ScoreCard.model_validate(scores) for scores in found]

    def again(self, finalist: Candidate, fresh: ScoreCard) -> Candidate:
        return self.court.again(finalist, fresh)


def conclude(study: Study, engine: Engine) -> Verdict:
    """Chooses among all checkpoints, confirms with fresh seeds, tests once, and writes best.safetensors.

    A verdict that already stands on the same trials, by the same rule, is not reached again; of several runners one
    reaches it. A checkpoint meets the test images once: where it wins again, what was measured then counts.

    Raises:
        NothingToSelect: no checkpoint is usable.
        StudyError: the winner cannot be trained on all folds, or its files are out of reach.
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
    return stands(study.memory.recall(VERDICT), study.spec, len(study.memory.records()))


def _gather(study: Study, best: Path) -> None:
    """Brings what the report shows of other runners' trials: the best file, renders and artifacts."""
    assert study.depot is not None
    study.depot.fetch(best.parent, best.name)
    study.depot.fetch(study.workspace.artifacts)
    for record in study.memory.records():
        study.depot.fetch(study.workspace.trial(record.number), "*.png")


def provisional(study: Study, weights: Weights | None = None) -> Verdict:
    """A choice from stored scores alone: nothing is judged again, nothing tested.

    With weights: where the leader by them was judged again for the study's verdict, the choice is made among the
    finalists, by what was measured then.

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
    heard = _heard(court, everyone) if weights else []
    if any((choice.trial, choice.epoch) == (one.trial, one.epoch) for one in heard):
        decision = decide(heard, contenders(heard), preference)
        choice, reason = decision.winner, decision.reason
    return _document(court, everyone, choice, reason) | {"confirmation": None, "test": None}


def _heard(court: _Court, everyone: Sequence[Candidate]) -> list[Candidate]:
    """The finalists of the standing verdict with what was measured when they were judged again."""
    standing: Verdict = court.study.memory.recall(VERDICT) or {"confirmation": {"finalists": []}}
    fresh = {
        (f["trial"], f["epoch"]): ScoreCard.model_validate(f["scores"])
        for f in standing["confirmation"]["finalists"]
    }
    return [court.again(c, fresh[c.trial, c.epoch]) for c in everyone if (c.trial, c.epoch) in fresh]


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
    hearing = hear(_Bench(court, engine), everyone, spec.confirm)
    winner = hearing.decision.winner
    if why := engine.settle(Proposal(winner.trial, dict(court.records[winner.trial].values)), winner.epoch):
        raise StudyError(
            f"Trial {winner.trial} diverged when it was trained on all folds ({explanation.sentence(why)}); "
            "lower the learning rate's range and run again."
        )
    if depot := court.study.depot:
        depot.push(court.study.workspace.trial(winner.trial))
    document = _document(court, everyone, winner, hearing.decision.reason)
    tested = _tested(court, engine, winner)
    return document | {"asked": spec.asked, "confirmation": _confirmation(hearing), **tested}


def _tested(court: _Court, engine: Engine, winner: Candidate) -> Verdict:
    """The winner's scores on the test images, and which other checkpoints have met these images before."""
    study, key = court.study, (winner.trial, winner.epoch)
    exam = _exam(study.spec, "test", "test", TEST_CARE)
    met: list[dict[str, Any]] = study.memory.recall(TESTED) or []
    one = {"trial": winner.trial, "epoch": winner.epoch, "care": [exam.timesteps, exam.prompt_count]}
    standing = next((entry["scores"] for entry in met if one.items() <= entry.items()), None)
    if standing is None:
        (standing,) = engine.examine([key], exam)
        study.memory.remember(TESTED, [*met, one | {"scores": standing}])
    before = dict.fromkeys((entry["trial"], entry["epoch"]) for entry in met)
    return {"test": standing, "tested_before": [list(other) for other in before if other != key]}


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
        "rule": explanation.rule(spec.objective, spec.guards, spec.confirm.preference),
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


def _confirmation(hearing: Hearing) -> dict[str, Any]:
    decision = hearing.decision
    heard = zip(hearing.finalists, hearing.confirmed, hearing.scores, hearing.rounds, strict=True)
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
            for before, after, scores, rounds in heard
        ],
    }
