"""Figures in plain English, for people who have not read how they were measured (pure)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from evaluation.intervals import Estimate
from search.objective import DIRECTIONS
from studies.watch import shown

NOTICEABLE = 2.0
"""Standard errors that a difference must reach before it is called one."""

METRICS = {
    "validation": "validation loss",
    "clip_image": "CLIP image similarity",
    "clip_text": "CLIP text similarity",
    "diversity": "diversity between seeds",
    "memorisation": "memorisation",
    "flexibility": "following of prompts outside the data set",
}

Tone = Literal["good", "bad", "neutral"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One measured figure and what it means."""

    label: str
    figure: str
    error: str
    meaning: str
    tone: Tone


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


def error(value: float, digits: int) -> str:
    """A standard error; a question mark where it is unknown."""
    return f"{value:.{digits}f}" if math.isfinite(value) else "?"


def duration(seconds: float) -> str:
    """Hours and minutes, minutes and seconds, or seconds."""
    whole = round(seconds)
    if whole >= 3600:
        return f"{whole // 3600} h {whole % 3600 // 60:02} min"
    return f"{whole // 60} min {whole % 60:02} s" if whole >= 60 else f"{seconds:.1f} s"


def findings(scores: Mapping[str, Any], images: int, side: str) -> list[Finding]:
    """What a score card says of a LoRA against the base model.

    Args:
        scores: JSON of a card.
        images: how many held-out images it was measured on.
        side: what to call them: "test" or "validation".
    """
    found = [_loss(Estimate.model_validate(scores["validation"]), images, side)]
    for name, meanings in _OTHERS.items():
        if scores.get(name):
            found.append(_other(name, Estimate.model_validate(scores[name]), meanings))
    return found


def ruling(shares: Mapping[str, float]) -> str:
    """Which metric decided the order of the checkpoints."""
    ranked = sorted(shares.items(), key=lambda item: -item[1])
    if not ranked or not any(shares.values()):
        return "All checkpoints scored the same."
    if len(ranked) == 1:
        return f"Only the {_metric(ranked[0][0])} counted in this study."
    parts = ", ".join(f"{_metric(name)} {share:.0%}".replace("-", "−") for name, share in ranked)
    text = f"Shares in the differences between checkpoints: {parts}."
    against = [_metric(name) for name, share in ranked if share <= -0.005]
    if against:
        return f"{text} The {' and '.join(against)} worked against the rest."
    leader, share = ranked[0]
    if share > 0.9:
        return f"{text} So the {_metric(leader)} decided almost alone, whatever the weights say."
    return text


def _loss(found: Estimate, images: int, side: str) -> Finding:
    """A log ratio as the change in per cent that it stands for."""
    change, noise = math.expm1(found.mean), math.exp(found.mean) * found.standard_error
    where = f"on {images} {side} image{'s' if images != 1 else ''}"
    tone = _tone(-found.mean, found.standard_error)
    meaning = {
        "good": f"The loss {where} is this much lower than without the LoRA.",
        "bad": f"The loss {where} is higher than without the LoRA: the training images may be learnt by heart.",
        "neutral": f"The loss {where} cannot be told from that without the LoRA.",
    }[tone]
    return Finding("Loss", f"{signed(100 * change, 1)} %", f"± {error(100 * noise, 1)}", meaning, tone)


_OTHERS: Mapping[str, tuple[str, Mapping[Tone, str]]] = {
    "clip_image": (
        "Likeness (CLIP)",
        {
            "good": "Its pictures are closer to your held-out images than the base model's, in points of 100.",
            "bad": "Its pictures are further from your held-out images than the base model's, in points of 100.",
            "neutral": "Its pictures are as close to your held-out images as the base model's, within the error.",
        },
    ),
    "clip_text": (
        "Prompt following (CLIP)",
        {
            "good": "It follows the prompts better than the base model, in points of 100.",
            "bad": "It follows the prompts less well than the base model, in points of 100.",
            "neutral": "It follows the prompts as well as the base model, within the error.",
        },
    ),
    "diversity": (
        "Diversity",
        {
            "good": "Its pictures of one prompt differ more from seed to seed than the base model's.",
            "bad": "Its pictures of one prompt differ less from seed to seed than the base model's.",
            "neutral": "Its pictures of one prompt differ from seed to seed as the base model's do.",
        },
    ),
    "memorisation": (
        "Memorisation",
        {
            "good": "Its pictures lean less to the training images than the base model's, in points of 100.",
            "bad": "Its pictures copy the training images more than the base model's, in points of 100.",
            "neutral": "Its pictures lean to the training images no more than the base model's.",
        },
    ),
    "flexibility": (
        "Flexibility",
        {
            "good": "It follows prompts outside the data set better than the base model, in points of 100.",
            "bad": "It follows prompts outside the data set less well than the base model, in points of 100.",
            "neutral": "It follows prompts outside the data set as well as the base model, within the error.",
        },
    ),
}


def _other(name: str, found: Estimate, label_and_meanings: tuple[str, Mapping[Tone, str]]) -> Finding:
    label, meanings = label_and_meanings
    tone = _tone(DIRECTIONS[name] * found.mean, found.standard_error)
    return Finding(label, signed(found.mean, 2), f"± {error(found.standard_error, 2)}", meanings[tone], tone)


def _tone(gain: float, error: float) -> Tone:
    if abs(gain) < NOTICEABLE * error:
        return "neutral"
    return "good" if gain > 0 else "bad"


def _metric(name: str) -> str:
    return METRICS.get(name, name)
