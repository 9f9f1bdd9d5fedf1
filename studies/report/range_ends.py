"""Which searched ranges the best trials crowd at an end of, as advice (pure)."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Literal

from search.parameter import Choice, Parameter
from studies.study.trial import Trial
from studies.text.format import value
from studies.text.i18n import ENGLISH, Translator, marked

NEAR_END = 0.1
"""Share of a range's width (of its logarithm where it is searched so) that counts as its end."""
LEADERS = 0.25
"""Share of the trials, at least three, whose values tell where the good ones lie."""


def ends_hit(
    trials: Sequence[Trial],
    parameters: Mapping[str, Parameter],
    shares: Mapping[str, float],
    say: Translator = ENGLISH,
) -> list[str]:
    """Which ranges the best trials crowd at an end of, as advice.

    Args:
        trials: all of them.
        parameters: the searched ones, by name.
        shares: importance of each, adding up to 1; those that matter less than the average are left out.
        say: the language.
    """
    ranked = sorted((trial for trial in trials if trial.best), key=_peak, reverse=True)
    leaders = ranked[: max(3, math.ceil(LEADERS * len(ranked)))]
    if len(ranked) < 2 * len(leaders):
        return []
    average = 1 / len(shares) if shares else 0.0
    found = []
    for name, parameter in parameters.items():
        values = [leader.values[name] for leader in leaders if name in leader.values]
        bounds = _bounds(parameter)
        if bounds is None or len(values) < 3 or shares.get(name, 0.0) < average:
            continue
        if end := _end([float(v) for v in values], *bounds, isinstance(parameter, Choice) or parameter.log):
            found.append(say(_WIDEN[end], name=name, bound=value(bounds[end == "upper"])))
    return found


def _bounds(parameter: Parameter) -> tuple[float, float] | None:
    """The ends of a range; of choices, those of numbers that have something between them."""
    if not isinstance(parameter, Choice):
        return parameter.low, parameter.high
    numbers = [
        c for c in parameter.choices if isinstance(c, int | float) and not isinstance(c, bool) and c > 0
    ]
    if len(numbers) < max(3, len(parameter.choices)):
        return None
    return min(numbers), max(numbers)


_WIDEN: Mapping[Literal["lower", "upper"], str] = {
    "lower": marked("The best {name} lie at the lower end of its range ({bound}): widen it and run again."),
    "upper": marked("The best {name} lie at the upper end of its range ({bound}): widen it and run again."),
}


def _end(
    values: Sequence[float], lowest: float, highest: float, log: bool
) -> Literal["lower", "upper"] | None:
    """The end of a range at which the median of some values lies."""
    scale = math.log if log else float
    low, high = scale(lowest), scale(highest)
    if high <= low:
        return None
    place = (scale(statistics.median(values)) - low) / (high - low)
    return "lower" if place < NEAR_END else "upper" if place > 1 - NEAR_END else None


def _peak(trial: Trial) -> float:
    return trial.objective or 0.0
