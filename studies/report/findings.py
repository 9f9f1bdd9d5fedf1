"""Figures in plain words, for people who have not read how they were measured (pure)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from evaluation.intervals import Estimate
from evaluation.metrics.table import METRICS, Metric, Tone
from evaluation.scorecard import Measured, ScoreCard
from studies.text.format import error, figure, signed
from studies.text.i18n import ENGLISH, Translator, marked

NOTICEABLE = 2.0
"""Standard errors that a difference must reach before it is called one."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One measured figure and what it means."""

    label: str
    figure: str
    error: str
    meaning: str
    tone: Tone
    base: str = ""
    """The base model's own value and the LoRA's; empty where the figure has none."""


def findings(scores: ScoreCard, images: int, side: Side, say: Translator = ENGLISH) -> list[Finding]:
    """What a score card says of a LoRA against the base model.

    Args:
        scores: of a checkpoint.
        images: how many held-out images it was measured on.
        side: what to call them: "test" or "validation".
        say: the language.
    """
    where = say(_SIDES[side][images != 1], images=images)
    others = [(METRICS[name], found) for name, found in scores.metrics.items() if name in METRICS]
    return [
        _loss(row, found.difference, where, say) if row.measure is None else _of_pictures(row, found, say)
        for row, found in others
    ]


def ruling(shares: Mapping[str, float], say: Translator = ENGLISH) -> str:
    """Which metric decided the order of the checkpoints."""
    ranked = sorted(shares.items(), key=lambda item: -item[1])
    if not ranked or not any(shares.values()):
        return say("All checkpoints scored the same.")
    if len(ranked) == 1:
        return say("Only the {metric} counted in this study.", metric=metric(ranked[0][0], say))
    parts = say(", ").join(f"{metric(name, say)} {share:.0%}".replace("-", "−") for name, share in ranked)
    text = say("Shares in the differences between checkpoints: {parts}.", parts=parts)
    against = [metric(name, say) for name, share in ranked if share <= -0.005]
    if against:
        return text + say(" The {metrics} worked against the rest.", metrics=say(" and ").join(against))
    leader, share = ranked[0]
    if share > 0.9:
        return text + say(
            " So the {metric} decided almost alone, whatever the weights say.", metric=metric(leader, say)
        )
    return text


def _loss(row: Metric, found: Estimate, where: str, say: Translator) -> Finding:
    """A log ratio as the change in per cent that it stands for."""
    change, noise = math.expm1(found.mean), math.exp(found.mean) * found.standard_error
    tone = _tone(row.direction * found.mean, found.standard_error)
    meaning = say(row.meanings[tone], where=where)
    return Finding(
        say(row.title), f"{signed(100 * change, 1)} %", f"± {error(100 * noise, 1)}", meaning, tone
    )


Side = Literal["test", "validation"]
_SIDES: Mapping[Side, tuple[str, str]] = {
    "test": (marked("{images} test image"), marked("{images} test images")),
    "validation": (marked("{images} validation image"), marked("{images} validation images")),
}


def _of_pictures(row: Metric, found: Measured, say: Translator) -> Finding:
    rise = found.difference
    tone = _tone(row.direction * rise.mean, rise.standard_error)
    return Finding(
        say(row.title),
        signed(rise.mean, row.digits),
        f"± {error(rise.standard_error, row.digits)}",
        say(row.meanings[tone]),
        tone,
        _against(found, row.digits, say),
    )


def _against(found: Measured, digits: int, say: Translator) -> str:
    if found.value is None:
        return ""
    if found.base is None:
        return say("Its value is {value}.", value=figure(found.value, digits))
    return say(
        "Base model {base}, with the LoRA {value}.",
        base=figure(found.base, digits),
        value=figure(found.value, digits),
    )


def _tone(gain: float, error: float) -> Tone:
    if abs(gain) < NOTICEABLE * error:
        return "neutral"
    return "good" if gain > 0 else "bad"


def metric(name: str, say: Translator = ENGLISH) -> str:
    """A metric as people call it."""
    return say.pattern(METRICS[name].label if name in METRICS else name)
