"""What a study learns from earlier ones on the same base model: recipes to try first, and trials for its sampler."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from search.leases import Leases
from search.lessons import Lesson, standings
from search.memory import Memory
from search.samplers import startup_trials
from search.space import Space
from search.trial import Reason, TrialRecord, Value
from studies.errors import StudyError
from studies.spec.study_file import StudySpec
from studies.study.identity import base_of
from studies.study.open import ReadOnlyStudy, open_readonly, reading
from studies.study.trial import MaybeReason
from studies.workspace import Workspace

PRIOR = "prior"
"""Where the memory keeps it, so that a study goes on with what it began with."""
FEWEST_TRIALS = 4
"""Ended trials of a study that has anything to say."""
_SCALES = {"lora.alpha", "lora.alpha_over_rank"}
RECIPES_SHARE = 3
"""Of the draws that stay random, one in so many may be a recipe of an earlier study."""


class PriorStudy(BaseModel):
    """An earlier study."""

    model_config = ConfigDict(frozen=True)

    name: str
    trials: int = 0
    """From which is learnt."""
    left_out: MaybeReason = None
    """Why nothing is."""


class Prior(BaseModel):
    """What earlier studies say."""

    model_config = ConfigDict(frozen=True)

    sources: tuple[PriorStudy, ...] = ()
    """The newest first."""
    recipes: tuple[dict[str, Value], ...] = ()
    """The best trials of the newest, as far as this study's space holds them."""
    lessons: tuple[Lesson, ...] = ()


def remembered(memory: Memory) -> Prior | None:
    """What a study began with; None where it learns from none."""
    try:
        return Prior.model_validate(memory.recall(PRIOR))
    except ValidationError:
        return None


def named_problems(spec: StudySpec) -> list[str]:
    """Workspaces that a study file names and that hold no study."""
    named = spec.search.learn_from
    return [
        f"search.learn_from: {one}: there is no study here; name the workspace of an earlier one, or 'all'."
        for one in ([] if isinstance(named, str) else named)
        if not os.path.isfile(Workspace(Path(one)).study_file)
    ]


def fixed(memory: Memory, leases: Leases, spec: StudySpec, workspace: Workspace) -> None:
    """Reads earlier studies when one begins that asks for it, in one runner alone.

    Raises:
        StudyError: a folder that the study file names holds no study.
    """
    if spec.search.learn_from == "off":
        return

    def begin() -> None:
        found = prior(list(_studies(spec, workspace)), spec, base_of(memory))
        memory.remember(PRIOR, found.model_dump(mode="json"))

    leases.once("prior", lambda: memory.recall(PRIOR) is not None, begin)


@dataclass(frozen=True)
class EarlierStudy:
    """An earlier study as it is learnt from."""

    name: str
    base: str | None
    """The fingerprint of its base model."""
    resolution: int
    objective: frozenset[str]
    """Metrics that weigh in it."""
    trials: Sequence[TrialRecord]

    @classmethod
    def of(cls, study: ReadOnlyStudy) -> EarlierStudy:
        """That of a workspace."""
        return cls(
            study.spec.study.name,
            base_of(study.memory),
            study.spec.shared_plan.data.resolution,
            _weighed(study.spec),
            study.memory.records(),
        )

    @property
    def ended(self) -> list[TrialRecord]:
        """Trials that came to something."""
        return [one for one in self.trials if one.state in ("finished", "pruned") and one.curve]

    @property
    def objectives(self) -> list[float]:
        """Of the ended trials, their best checkpoints'."""
        return [max(point.objective for point in one.curve) for one in self.ended]

    @property
    def last(self) -> str:
        """When its last trial ended, in an order that sorts."""
        return max((one.ended.isoformat() for one in self.trials if one.ended), default="")


def prior(found: Sequence[EarlierStudy | PriorStudy], spec: StudySpec, base: str | None) -> Prior:
    """What studies say to one with that base model; unlike ones are left out.

    Args:
        found: earlier studies, or those that cannot be read.
        spec: of the study that learns.
        base: the fingerprint of its base model.
    """
    read = sorted(
        (one for one in found if isinstance(one, EarlierStudy)), key=lambda one: one.last, reverse=True
    )
    reasons = [_unlike(one, spec, base) for one in read]
    used = [one for one, reason in zip(read, reasons, strict=True) if reason is None]
    sources = [
        PriorStudy(name=one.name, trials=len(one.ended), left_out=reason)
        for one, reason in zip(read, reasons, strict=True)
    ]
    lessons = [
        Lesson(values=values, standing=standing)
        for one in used
        for trial, standing in zip(one.ended, standings(one.objectives), strict=True)
        if (values := _spelt(trial.values, spec.space)).keys() <= spec.space.parameters.keys()
    ]
    return Prior(
        sources=(*sources, *(one for one in found if isinstance(one, PriorStudy))),
        recipes=tuple(_recipes(used, spec)),
        lessons=tuple(lessons),
    )


def _unlike(one: EarlierStudy, spec: StudySpec, base: str | None) -> Reason | None:
    if one.base is None or one.base != base:
        return Reason("prior_other_base")
    if one.resolution != spec.shared_plan.data.resolution:
        return Reason("prior_other_resolution", {"theirs": one.resolution})
    if one.objective != _weighed(spec):
        return Reason("prior_other_objective")
    if len(one.ended) < FEWEST_TRIALS:
        return Reason("prior_too_few", {"trials": len(one.ended), "least": FEWEST_TRIALS})
    return None


def _recipes(used: Sequence[EarlierStudy], spec: StudySpec) -> Iterator[dict[str, Value]]:
    """The best trial of each of the newest studies; most of the first third of the trials stay random draws."""
    budget = spec.budget.limits().whole_trials(spec.budget.images_per_trial)
    told: list[dict[str, Value]] = [*spec.first]
    for one in used[: startup_trials(budget) // RECIPES_SHARE]:
        best = max(zip(one.objectives, one.ended, strict=True), key=lambda pair: (pair[0], -pair[1].number))[
            1
        ]
        recipe = _within(best.values, spec.space)
        if recipe and recipe not in told:
            told.append(recipe)
            yield recipe


def _spelt(values: dict[str, Value], space: Space) -> dict[str, Value]:
    """The values with alpha as a space writes it, itself or as a share of the rank."""
    rank, share, alpha = (values.get(f"lora.{leaf}") for leaf in ("rank", "alpha_over_rank", "alpha"))
    others = {
        name: value for name, value in values.items() if name not in ("lora.alpha_over_rank", "lora.alpha")
    }
    if "lora.alpha" in space.parameters and isinstance(share, float) and isinstance(rank, int):
        return others | {"lora.alpha": share * rank}
    if "lora.alpha_over_rank" in space.parameters and isinstance(alpha, float) and isinstance(rank, int):
        return others | {"lora.alpha_over_rank": alpha / rank}
    return values


def _within(values: dict[str, Value], space: Space) -> dict[str, Value]:
    """The values that a space holds; none where it holds the rate but not the scale that goes with it."""
    values = _spelt(values, space)
    if any(
        name in values and space.parameters[name].problem(values[name])
        for name in _SCALES & space.parameters.keys()
    ):
        return {}
    known = {name: value for name, value in values.items() if name in space.parameters}
    fitting = {name: value for name, value in known.items() if not space.parameters[name].problem(value)}
    return fitting if not space.problems(fitting) else {}


def _weighed(spec: StudySpec) -> frozenset[str]:
    return frozenset(name for name, weight in spec.objective.items() if weight)


def _studies(spec: StudySpec, workspace: Workspace) -> Iterator[EarlierStudy | PriorStudy]:
    """Those that the study file names; "all" are those beside its own workspace."""
    named = spec.search.learn_from
    if named != "all":
        for one in named:
            yield _read(Path(one))
        return
    own = workspace.root.absolute()
    for place in sorted(own.parent.iterdir()):
        if place == own or not os.path.isfile(Workspace(place).study_file):
            continue
        try:
            yield _read(place)
        except StudyError as error:
            yield PriorStudy(name=place.name, left_out=Reason.told(" ".join(error.problems)))


def _read(place: Path) -> EarlierStudy:
    with reading():
        return EarlierStudy.of(open_readonly(place))
