"""Two or more studies side by side: what differs, who won, and whether the difference is more than noise."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evaluation.intervals import Estimate, by_owner
from evaluation.metrics.table import METRICS
from evaluation.scorecard import ScoreCard
from search.budget import time_spent
from search.small_samples import standard_error
from search.trial import Value
from studies.errors import StudyError
from studies.report.findings import NOTICEABLE
from studies.selection import document
from studies.selection.document import Selection
from studies.spec.sections import EYES
from studies.study.open import ReadOnlyStudy
from studies.workspace import Document, flat

_JUDGED = ("judge", "split")
_CONFIRMED = ("timesteps", "prompt_count", "seeds_per_prompt", "outside_prompt_count")
_SHOWN = (
    "resolution",
    "enable_bucket",
    "min_bucket_reso",
    "max_bucket_reso",
    "bucket_reso_steps",
    "bucket_no_upscale",
    "max_token_length",
    "weighted_captions",
    "restore_emphasis",
)
"""Fields of [plan.data] that change what held-out images look like or what is read of their captions."""


class Used(Document):
    """What a study took."""

    trials: int
    images: int
    """Trained on, repeats counted."""
    seconds: float
    device_seconds: float


class StudyWinner(Document):
    """What a study chose."""

    trial: int
    epoch: int
    images_seen: int
    params: dict[str, Value]
    file: str


class StudySummary(Document):
    """One of the compared studies."""

    study: str
    seed: int | None
    used: Used
    winner: StudyWinner | None
    test: dict[str, Estimate] | None
    """Of each metric the winner's rise over the base model on test images."""


class Lead(Document):
    """By how much one winner is better than another in one metric."""

    better_by: float
    standard_error: float | None
    """Of the difference; None where it is unknown."""
    beyond_noise: bool


class ComparedPair(Document):
    """The best winner and another."""

    leader: str
    other: str
    same_test_images: bool
    metrics: dict[str, Lead]


class Comparison(Document):
    """Studies side by side."""

    studies: tuple[StudySummary, ...]
    differences: dict[str, list[Any]]
    """Settings that are not the same everywhere, one value a study."""
    comparable: bool
    reasons: tuple[str, ...]
    """Why their figures must not be compared."""
    pairs: tuple[ComparedPair, ...]

    def to_json(self) -> dict[str, Any]:
        """JSON values."""
        return self.model_dump(mode="json")


@dataclass(frozen=True, slots=True)
class ComparedStudy:
    """A study, as far as it is compared."""

    name: str
    table: Mapping[str, Any]
    """The study file with defaults, by dotted name."""
    fingerprints: Mapping[str, str]
    """Of its data set and base model."""
    seed: int | None
    selection: Selection | None
    used: Used


def side(study: ReadOnlyStudy, name: str) -> ComparedStudy:
    """Reads what a workspace holds."""
    recall, time = study.memory.recall, time_spent(study.memory)
    records = study.memory.records()
    return ComparedStudy(
        name,
        flat(study.spec.model_dump(mode="json")),
        recall("fingerprints") or {},
        recall("seed"),
        document.read(study.workspace),
        Used(
            trials=sum(record.state != "waiting" for record in records),
            images=sum(record.images_trained for record in records),
            seconds=time.seconds,
            device_seconds=time.device_seconds,
        ),
    )


def compare(sides: Sequence[ComparedStudy]) -> Comparison:
    """Everything (pure).

    Raises:
        StudyError: fewer than two studies.
    """
    if len(sides) < 2:
        raise StudyError("Give at least two workspaces to compare.")
    reasons = tuple(_reasons(sides))
    tested = [(one, one.selection.test) for one in sides if one.selection and one.selection.test]
    pairs: tuple[ComparedPair, ...] = ()
    if not reasons and len(tested) > 1:
        leader = min(tested, key=lambda pair: pair[1].validation.mean)
        pairs = tuple(_pair(leader, one) for one in tested if one is not leader)
    return Comparison(
        studies=tuple(_told(one) for one in sides),
        differences=differences(sides),
        comparable=not reasons,
        reasons=reasons,
        pairs=pairs,
    )


def differences(sides: Sequence[ComparedStudy]) -> dict[str, list[Any]]:
    """The settings that are not the same everywhere, one value a study; None where one has none."""
    names = dict.fromkeys(name for one in sides for name in one.table)
    found = {name: [one.table.get(name) for one in sides] for name in names if name != "study.name"}
    return {name: values for name, values in found.items() if any(value != values[0] for value in values)}


def _reasons(sides: Sequence[ComparedStudy]) -> Iterator[str]:
    """Why figures of these studies must not be compared."""
    for what in ("data set", "base model", *EYES.values()):
        if len({one.fingerprints[what] for one in sides if what in one.fingerprints}) > 1:
            yield f"the {what} is not the same"
    wanted = [f"confirm.{name}" for name in _CONFIRMED] + [f"plan.data.{name}" for name in _SHOWN]
    changed = [name for name in differences(sides) if name in wanted or name.partition(".")[0] in _JUDGED]
    known = {
        f"judge.{field}" for field, what in EYES.items() if all(what in one.fingerprints for one in sides)
    }
    changed = [name for name in changed if name not in known]
    if changed:
        yield f"judged differently: {', '.join(changed)}"


_Tested = tuple[ComparedStudy, ScoreCard]


def _pair(leader: _Tested, other: _Tested) -> ComparedPair:
    (first, ahead), (second, behind) = leader, other
    same_images = first.seed == second.seed
    leads = {name: _lead(name, ahead, behind, same_images) for name in METRICS}
    return ComparedPair(
        leader=first.name,
        other=second.name,
        same_test_images=same_images,
        metrics={name: lead for name, lead in leads.items() if lead is not None},
    )


def _lead(name: str, first: ScoreCard, second: ScoreCard, same_images: bool) -> Lead | None:
    """By how much the first is better, with the error of the difference.

    Cell by cell where both were measured on the same images and seeds, which cancels what they share; else the
    errors add up.
    """
    one, other = first.metrics.get(name), second.metrics.get(name)
    if one is None or other is None:
        return None
    ahead = METRICS[name].direction * (one.difference.mean - other.difference.mean) + 0.0
    if same_images and len(one.cells) == len(other.cells) > 1:
        leads = [a - b for a, b in zip(one.cells, other.cells, strict=True)]
        error = standard_error(by_owner(leads, first.owners(one.cells)) if METRICS[name].measure else leads)
    else:
        error = math.hypot(one.difference.standard_error, other.difference.standard_error)
    return Lead(
        better_by=ahead,
        standard_error=error if math.isfinite(error) else None,
        beyond_noise=math.isfinite(error) and abs(ahead) > NOTICEABLE * error,
    )


def _told(one: ComparedStudy) -> StudySummary:
    chosen = one.selection.winner if one.selection else None
    test = one.selection.test if one.selection else None
    return StudySummary(
        study=one.name,
        seed=one.seed,
        used=one.used,
        winner=StudyWinner.model_validate(chosen.model_dump()) if chosen else None,
        test=test.differences() if test else None,
    )
