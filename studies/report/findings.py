"""Figures in plain words, for people who have not read how they were measured (pure)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from evaluation.intervals import Estimate
from search.objective import DIRECTIONS
from studies.text.format import error, figure, signed
from studies.text.i18n import ENGLISH, Translator, marked

NOTICEABLE = 2.0
"""Standard errors that a difference must reach before it is called one."""


METRICS = {
    "validation": marked("validation loss"),
    "clip_image": marked("CLIP image similarity"),
    "clip_text": marked("CLIP text similarity"),
    "diversity": marked("diversity between seeds"),
    "memorisation": marked("memorisation"),
    "flexibility": marked("following of prompts outside the data set"),
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
    base: str = ""
    """The base model's own value and the LoRA's; empty where the figure has none."""


def findings(scores: Mapping[str, Any], images: int, side: Side, say: Translator = ENGLISH) -> list[Finding]:
    """What a score card says of a LoRA against the base model.

    Args:
        scores: JSON of a card.
        images: how many held-out images it was measured on.
        side: what to call them: "test" or "validation".
        say: the language.
    """
    found = [_loss(Estimate.model_validate(scores["validation"]), images, side, say)]
    return found + [_other(name, scores, say) for name in _OTHERS if scores.get(name)]


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


def checkpoint(trial: int, epoch: int, say: Translator) -> str:
    """What a checkpoint is called."""
    return say("trial {trial}, epoch {epoch}", trial=trial, epoch=epoch)


def earlier_tests(verdict: Mapping[str, Any], say: Translator = ENGLISH) -> str:
    """That earlier choices met the test images too; empty where none did."""
    others = say("; ").join(
        checkpoint(trial, epoch, say) for trial, epoch in verdict.get("tested_before", [])
    )
    return say("Earlier choices met these images too: {others}.", others=others) if others else ""


def _loss(found: Estimate, images: int, side: Side, say: Translator) -> Finding:
    """A log ratio as the change in per cent that it stands for."""
    change, noise = math.expm1(found.mean), math.exp(found.mean) * found.standard_error
    tone = _tone(-found.mean, found.standard_error)
    where = say(_SIDES[side][images != 1], images=images)
    meaning = say(_LOSS[tone], where=where)
    return Finding(say("Loss"), f"{signed(100 * change, 1)} %", f"± {error(100 * noise, 1)}", meaning, tone)


Side = Literal["test", "validation"]


_SIDES: Mapping[Side, tuple[str, str]] = {
    "test": (marked("{images} test image"), marked("{images} test images")),
    "validation": (marked("{images} validation image"), marked("{images} validation images")),
}


_LOSS: Mapping[Tone, str] = {
    "good": marked("The loss on {where} is this much lower than without the LoRA."),
    "bad": marked(
        "The loss on {where} is higher than without the LoRA: the training images may be learnt by heart."
    ),
    "neutral": marked("The loss on {where} cannot be told from that without the LoRA."),
}


_OTHERS: Mapping[str, tuple[str, Mapping[Tone, str]]] = {
    "clip_image": (
        marked("Likeness (CLIP)"),
        {
            "good": marked(
                "Its pictures are closer to your held-out images than the base model's, in points of 100."
            ),
            "bad": marked(
                "Its pictures are further from your held-out images than the base model's, in points of 100."
            ),
            "neutral": marked(
                "Its pictures are as close to your held-out images as the base model's, within the error."
            ),
        },
    ),
    "clip_text": (
        marked("Prompt following (CLIP)"),
        {
            "good": marked("It follows the prompts better than the base model, in points of 100."),
            "bad": marked("It follows the prompts less well than the base model, in points of 100."),
            "neutral": marked("It follows the prompts as well as the base model, within the error."),
        },
    ),
    "diversity": (
        marked("Diversity"),
        {
            "good": marked("Its pictures of one prompt differ more from seed to seed than the base model's."),
            "bad": marked("Its pictures of one prompt differ less from seed to seed than the base model's."),
            "neutral": marked("Its pictures of one prompt differ from seed to seed as the base model's do."),
        },
    ),
    "memorisation": (
        marked("Memorisation"),
        {
            "good": marked(
                "Its pictures lean less to the training images than the base model's, in points of 100."
            ),
            "bad": marked(
                "Its pictures copy the training images more than the base model's, in points of 100."
            ),
            "neutral": marked("Its pictures lean to the training images no more than the base model's."),
        },
    ),
    "flexibility": (
        marked("Flexibility"),
        {
            "good": marked(
                "It follows prompts outside the data set better than the base model, in points of 100."
            ),
            "bad": marked(
                "It follows prompts outside the data set less well than the base model, in points of 100."
            ),
            "neutral": marked(
                "It follows prompts outside the data set as well as the base model, within the error."
            ),
        },
    ),
}


def _other(name: str, scores: Mapping[str, Any], say: Translator) -> Finding:
    (label, meanings), found = _OTHERS[name], Estimate.model_validate(scores[name])
    tone = _tone(DIRECTIONS[name] * found.mean, found.standard_error)
    return Finding(
        say(label),
        signed(found.mean, 2),
        f"± {error(found.standard_error, 2)}",
        say(meanings[tone]),
        tone,
        _against(scores.get(f"{name}_value"), scores.get("base_values", {}).get(name), say),
    )


def _against(value: float | None, base: float | None, say: Translator) -> str:
    if value is None:
        return ""
    if base is None:
        return say("Its value is {value}.", value=figure(value, 2))
    return say("Base model {base}, with the LoRA {value}.", base=figure(base, 2), value=figure(value, 2))


def _tone(gain: float, error: float) -> Tone:
    if abs(gain) < NOTICEABLE * error:
        return "neutral"
    return "good" if gain > 0 else "bad"


def metric(name: str, say: Translator = ENGLISH) -> str:
    """A metric as people call it."""
    return say.pattern(METRICS.get(name, name))
