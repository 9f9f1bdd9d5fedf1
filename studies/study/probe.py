"""Trains the learning-rate probe of a study."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from pydantic import ValidationError

from search.memory import Memory
from search.parameter import Real
from search.space import Parameter
from search.trial import Value
from studies.errors import StudyError
from studies.spec.planner import Planner
from studies.spec.study_file import StudySpec
from trainer.plan import TrainingPlan
from trainer.training.probe import Probe


def probed_plan(planner: Planner) -> TrainingPlan:
    """What is probed: the first recipe that the study tries, and the plan's defaults where it says nothing.

    Raises:
        StudyError: that is no plan.
    """
    first = planner.spec.first[0] if planner.spec.first else {}
    try:
        return planner.plan(first)
    except ValidationError as error:
        told = "; ".join(str(found.get("ctx", {}).get("error", found["msg"])) for found in error.errors())
        raise StudyError(f"first.0: this recipe cannot be trained: {told}.") from error


def plain(found: Probe) -> dict[str, Any]:
    """JSON values: the rate, whether it is flat, and how each repetition went."""
    return {
        "rate": _known(found.rate),
        "plateau": _known(found.plateau),
        "flat": found.flat,
        "courses": [
            {
                "rate": _known(course.plateau.rate),
                "step": course.plateau.step,
                "flat": course.plateau.flat,
                "trouble": course.trouble and asdict(course.trouble),
                "rates": list(course.rates),
            }
            for course in found.courses
        ],
    }


def _known(rate: float) -> float | None:
    return rate if math.isfinite(rate) else None


FIELD = "optimiser.unet_lr"


REMEMBERED = "probe"
"""Key of the result in the study's memory."""


FACTOR = 5.0
"""How far a range reaches at most either way: a probe is right to a factor of three, and other ranks, batch sizes and
optimisers than the probed ones move the best rate."""


WIDTH = 56
"""Characters of a chart's line."""


_BLOCKS = "▁▂▃▄▅▆▇█"


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


def as_remembered(spec: StudySpec, memory: Memory) -> StudySpec:
    """The study with the range that its own probe found, where it asks for one and one was flat.

    The range follows from the remembered result, so that it is the same whenever the study is opened.
    """
    result = _found(spec, memory)
    return recentred(spec, result["rate"]) if result else spec


def probed_recipes(spec: StudySpec, memory: Memory) -> tuple[Recipe, ...]:
    """The probed recipe at the rate that was found, tried after the study file's own; none without a probe."""
    result = _found(spec, memory)
    if result is None:
        return ()
    return ({**(spec.first[0] if spec.first else {}), FIELD: _rounded(result["rate"])},)


def _found(spec: StudySpec, memory: Memory) -> Mapping[str, Any] | None:
    """What the study's own probe found, where it asks for one and one was flat."""
    result: Mapping[str, Any] | None = memory.recall(REMEMBERED) if spec.probe.enabled else None
    return result if result and result["flat"] else None


def spark(rates: Sequence[float], lowest: float, highest: float, width: int = WIDTH) -> str:
    """Rates as one line of blocks on a log scale.

    Args:
        rates: one after each step; longer lines are thinned to ``width``, the last rate always shown.
        lowest: what the smallest block stands for.
        highest: what the largest one stands for.
        width: most characters.
    """
    count = min(width, len(rates))
    shown = [rates[(i + 1) * len(rates) // count - 1] for i in range(count)]
    across = math.log(highest / lowest) if highest > lowest else 1.0
    places = [math.log(max(rate, lowest) / lowest) / across for rate in shown]
    return "".join(_BLOCKS[min(len(_BLOCKS) - 1, int(place * len(_BLOCKS)))] for place in places)


def chart(courses: Sequence[Mapping[str, Any]]) -> list[str]:
    """The history of every repetition, a line each.

    Args:
        courses: each with "rates", and "rate", "step", "flat" and "trouble" as ``plain`` tells them.
    """
    every = [rate for course in courses for rate in course["rates"] if rate > 0]
    if not every:
        return ["  no step was taken"]
    lowest, highest = min(every), max(every)
    longest = max(len(course["rates"]) for course in courses)
    lines = [f"d * lr over {longest} optimiser steps, on a log scale from {lowest:.2g} to {highest:.2g}:"]
    for number, course in enumerate(courses, start=1):
        width = max(1, round(WIDTH * len(course["rates"]) / longest))
        line = spark(course["rates"], lowest, highest, width) if course["rates"] else ""
        lines.append(f"  {number}  {line:<{WIDTH}}  {_end(course)}")
    return lines


def _end(course: Mapping[str, Any]) -> str:
    if course["trouble"]:
        return f"ended early: {course['trouble']}"
    if not course["rates"]:
        return "no step was taken"
    state = f"flat at step {course['step']}" if course["flat"] else f"not flat after {course['step']} steps"
    return f"{course['rate']:.3g}, {state}"


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
