"""Which words accompany a presentation (pure)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TypeVar

import torch

from trainer.data.folders import NO_RULES, CaptionRules
from trainer.plans.data import DataPlan
from trainer.seeds import generator

T = TypeVar("T")
_BRACKETS = {"(": ")", "[": "]"}
_SIGN = re.compile(r"\\.|[()\[\]]", re.DOTALL)
"""A bracket, or a backslash with what it takes the meaning from."""


def spoken(caption: str, rules: CaptionRules, plan: DataPlan, seed: int, presentation: int) -> str:
    """The caption as this presentation hears it: shuffled, thinned or silenced.

    All draws are by presentation alone, so that a trial with a smaller rate drops a part of what one with a
    larger rate drops.

    Args:
        caption: as written beside the image.
        rules: what the image's concept says; they come before the plan's.
        plan: the trial's own rules.
        seed: study seed.
        presentation: position in the study-wide order.
    """
    if rules == NO_RULES and not (plan.shuffle_caption or plan.caption_dropout or plan.tag_dropout):
        return caption
    if _chance(seed, "caption dropout", presentation) < _first(rules.caption_dropout, plan.caption_dropout):
        return ""
    keep = _first(rules.keep_tokens, plan.keep_tokens)
    shuffles = _first(rules.shuffle, plan.shuffle_caption)
    tag_dropout = _first(rules.tag_dropout, plan.tag_dropout)
    if not (shuffles or tag_dropout):
        return caption
    parts = tags_of(caption) if plan.weighted_captions else caption.split(",")
    tags = [tag.strip() for tag in parts if tag.strip()]
    head, tail = tags[:keep], tags[keep:]
    order: Sequence[int] = range(len(tail))
    if shuffles:
        drawn = torch.randperm(len(tail), generator=generator(seed, "caption", presentation))
        order = drawn.tolist()
    stays = _stay(len(tail), tag_dropout, seed, presentation)
    return ", ".join(head + [tail[i] for i in order if stays[i]])


def tags_of(caption: str) -> list[str]:
    """A caption cut at its commas, but for those inside brackets that are closed again, as in ``(a, b:1.3)``.

    A backslash makes a bracket an ordinary character.
    """
    closed = _closed(caption)
    tags: list[str] = []
    begin = depth = 0
    for place, sign in enumerate(caption):
        if place in closed:
            depth += 1 if sign in _BRACKETS else -1
        elif sign == "," and not depth:
            tags.append(caption[begin:place])
            begin = place + 1
    return [*tags, caption[begin:]]


def _closed(caption: str) -> set[int]:
    """The places of brackets that have a partner."""
    found: set[int] = set()
    opened: dict[str, list[int]] = {")": [], "]": []}
    for match in _SIGN.finditer(caption):
        sign, place = match[0], match.start()
        if sign in _BRACKETS:
            opened[_BRACKETS[sign]].append(place)
        elif opened.get(sign):
            found |= {opened[sign].pop(), place}
    return found


def _first(own: T | None, otherwise: T) -> T:
    return otherwise if own is None else own


def _chance(seed: int, what: str, presentation: int) -> float:
    return float(torch.rand((), generator=generator(seed, what, presentation), dtype=torch.float64))


def _stay(count: int, rate: float, seed: int, presentation: int) -> list[bool]:
    """Whether each of ``count`` tags stays; each tag's draw is the same whatever the rate."""
    if not rate:
        return [True] * count
    source = generator(seed, "tag dropout", presentation)
    found: list[bool] = (torch.rand(count, generator=source, dtype=torch.float64) >= rate).tolist()
    return found
