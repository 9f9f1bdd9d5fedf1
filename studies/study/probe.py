"""Trains the learning-rate probe of a study."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Self

from pydantic import BaseModel, ConfigDict, ValidationError

from search.memory import Memory
from search.parameter import Real
from search.space import Parameter
from search.trial import Reason, Value
from studies.errors import StudyError
from studies.spec.mistakes import mistakes
from studies.spec.planner import Planner
from studies.spec.study_file import StudySpec
from studies.study.trial import MaybeReason
from trainer.plan import TrainingPlan
from trainer.training.pack import Pack
from trainer.training.probe import Probe, follow


def probed_plan(planner: Planner) -> TrainingPlan:
    """What is probed: the first recipe that the study tries, and the plan's defaults where it says nothing.

    Raises:
        StudyError: that is no plan.
    """
    first = planner.spec.first[0] if planner.spec.first else {}
    try:
        return planner.plan(first)
    except ValidationError as error:
        problems = "; ".join(mistake.text for mistake in mistakes(error))
        raise StudyError(f"first.0: this recipe cannot be trained: {problems}.") from error


class ProbeCourse(BaseModel):
    """How one repetition went."""

    model_config = ConfigDict(frozen=True)

    rate: float | None = None
    """Where it settled, or its last; None where it was not finite."""
    step: int
    flat: bool
    trouble: MaybeReason = None
    """Why it ended early."""
    rates: tuple[float, ...]
    """d * lr after each optimiser step."""


class ProbeResult(BaseModel):
    """What a learning-rate probe found."""

    model_config = ConfigDict(frozen=True)

    rate: float | None = None
    """The proposed learning rate; None where it is not finite."""
    plateau: float | None = None
    """The geometric mean of the repetitions' plateaus."""
    flat: bool
    """Whether every repetition settled."""
    courses: tuple[ProbeCourse, ...] = ()

    @classmethod
    def of(cls, probe: Probe) -> Self:
        """A probe as it is remembered and told."""
        courses = (
            ProbeCourse(
                rate=_known(course.plateau.rate),
                step=course.plateau.step,
                flat=course.plateau.flat,
                trouble=Reason(course.trouble.code, course.trouble.values) if course.trouble else None,
                rates=tuple(course.rates),
            )
            for course in probe.courses
        )
        return cls(
            rate=_known(probe.rate), plateau=_known(probe.plateau), flat=probe.flat, courses=tuple(courses)
        )

    @property
    def settled(self) -> float | None:
        """The rate, where every repetition settled."""
        return self.rate if self.flat else None


def probe_study(pack: Pack, planner: Planner) -> ProbeResult:
    """The probe of a study's first recipe.

    Args:
        pack: nothing is in training; out of memory, its limit is lower afterwards.
        planner: of the study.

    Raises:
        StudyError: the recipe is no plan.
    """
    settings = planner.spec.probe
    return ProbeResult.of(follow(pack, probed_plan(planner), settings.repetitions, settings.steps))


def _known(rate: float) -> float | None:
    return rate if math.isfinite(rate) else None


FIELD = "optimiser.unet_lr"


REMEMBERED = "probe"
"""Key of the result in the study's memory."""


FACTOR = 5.0
"""How far a range reaches at most either way: a probe is right to a factor of three, and other ranks, batch sizes and
optimisers than the probed ones move the best rate."""


_HIGHEST = 1.0
"""The largest value that the plan takes."""


Range = tuple[float, float]


Recipe = dict[str, Value]


def range_around(parameter: Parameter | None, rate: float, held: Sequence[float] = ()) -> Range:
    """A range whose middle, on a log scale, is ``rate``; no wider than the study's own, nor than ``FACTOR`` allows.

    Args:
        parameter: the study's; what is no range, or starts at 0, has no width on a log scale.
        rate: what the probe found.
        held: rates of recipes that are tried first; the range is widened where it would leave them out.
    """
    reach = FACTOR
    if isinstance(parameter, Real) and parameter.low > 0:
        reach = min(FACTOR, math.sqrt(parameter.high / parameter.low))
    low, high = min([rate / reach, *held]), max([rate * reach, *held])
    return _rounded(low), min(_HIGHEST, _rounded(high))


def recipe_rates(spec: StudySpec) -> list[float]:
    """The learning rates of the recipes that are tried first."""
    return [float(recipe[FIELD]) for recipe in spec.first if FIELD in recipe]


def recentred(spec: StudySpec, rate: float) -> StudySpec:
    """The study with its range of learning rates around ``rate``; a study without a range stays as it is."""
    parameter = spec.space.parameters.get(FIELD)
    if not isinstance(parameter, Real):
        return spec
    low, high = range_around(parameter, rate, recipe_rates(spec))
    space = {**spec.search.space, FIELD: {**spec.search.space[FIELD], "low": low, "high": high}}
    return spec.model_copy(update={"search": spec.search.model_copy(update={"space": space})})


def remembered(memory: Memory) -> ProbeResult | None:
    """What the study's own probe found; None before it."""
    stored = memory.recall(REMEMBERED)
    return None if stored is None else ProbeResult.model_validate(stored)


def as_remembered(spec: StudySpec, memory: Memory) -> StudySpec:
    """The study with the range that its own probe found, where it asks for one and one was flat.

    The range follows from the remembered result, so that it is the same whenever the study is opened.
    """
    rate = _settled(spec, memory)
    return spec if rate is None else recentred(spec, rate)


def probed_recipes(spec: StudySpec, memory: Memory) -> tuple[Recipe, ...]:
    """The probed recipe at the rate that was found, tried after the study file's own; none without a probe."""
    rate = _settled(spec, memory)
    if rate is None:
        return ()
    return ({**(spec.first[0] if spec.first else {}), FIELD: _rounded(rate)},)


def _settled(spec: StudySpec, memory: Memory) -> float | None:
    """The rate of the study's own probe, where it asks for one and one was flat."""
    result = remembered(memory) if spec.probe.enabled else None
    return result.settled if result else None


def standing(spec: StudySpec, rate: float) -> str:
    """Where the study's learning rates lie, seen from the probe's rate."""
    parameter = spec.space.parameters.get(FIELD)
    if parameter is None:
        fixed = spec.plan.get("optimiser", {}).get("unet_lr")
        if fixed is None:
            return f"The study neither fixes nor searches {FIELD}."
        return f"The study fixes {FIELD} = {fixed:g}, {fixed / rate:.3g} times the probe's rate."
    if not isinstance(parameter, Real):
        choices = ", ".join(f"{choice:g}" for choice in getattr(parameter, "choices", ()))
        return f"The study tries {FIELD} = {choices}; the probe's rate is {rate:.3g}."
    text = f"The study's range, {parameter.low:g} to {parameter.high:g},"
    if rate < parameter.low:
        return f"{text} lies wholly above the probe's rate."
    if rate > parameter.high:
        return f"{text} lies wholly below the probe's rate."
    if parameter.low <= 0 or parameter.high <= parameter.low:
        return f"{text} holds the probe's rate."
    share = math.log(rate / parameter.low) / math.log(parameter.high / parameter.low)
    return f"{text} holds the probe's rate, {share:.0%} of the way up on a log scale."


def _rounded(rate: float) -> float:
    """Three significant digits, as a person would write it."""
    return float(f"{rate:.3g}")
