"""Values, figures and durations as people read them: the only formatters (pure)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from evaluation.intervals import Estimate
from studies.text.i18n import ENGLISH, Translator
from studies.text.terminal import plain


def shown(value: Any) -> str:
    """A parameter value as people write it."""
    return f"{value:.3g}" if isinstance(value, float) else plain(str(value))


def described(values: Mapping[str, Any]) -> str:
    """All values of a trial on one line, with the last word of each name."""
    return ", ".join(f"{name.rsplit('.', 1)[-1]} {shown(value)}" for name, value in values.items())


def value(chosen: object) -> str:
    """A parameter's value as it stands in a study file, shortened."""
    return str(chosen).lower() if isinstance(chosen, bool) else shown(chosen)


def signed(value: float | None, digits: int) -> str:
    """A difference with its sign and a true minus; a dash if there is none."""
    if value is None or not math.isfinite(value):
        return "–"
    return f"{value:+.{digits}f}".replace("-", "−")


def estimate(value: Any, digits: int) -> str:
    """A mean with its standard error, from an ``Estimate`` or its JSON."""
    if value is None:
        return "–"
    found = Estimate.model_validate(value)
    return f"{signed(found.mean, digits)} ± {error(found.standard_error, digits)}"


def figure(value: float | None, digits: int) -> str:
    """A figure with a true minus; a dash if there is none."""
    return "–" if value is None or not math.isfinite(value) else f"{value:.{digits}f}".replace("-", "−")


def error(value: float, digits: int) -> str:
    """A standard error; a question mark where it is unknown."""
    return f"{value:.{digits}f}" if math.isfinite(value) else "?"


def duration(seconds: float, say: Translator = ENGLISH) -> str:
    """Hours and minutes, minutes and seconds, or seconds."""
    whole = round(seconds)
    if whole >= 3600:
        return say("{hours} h {minutes} min", hours=whole // 3600, minutes=f"{whole % 3600 // 60:02}")
    if whole >= 60:
        return say("{minutes} min {seconds} s", minutes=whole // 60, seconds=f"{whole % 60:02}")
    return say("{seconds} s", seconds=f"{seconds:.1f}")
