"""Which words accompany a presentation (pure)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import torch

from trainer.data.sources import NO_RULES, CaptionRules
from trainer.plans.data import DataPlan
from trainer.seeds import generator

T = TypeVar("T")


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
    tags = [tag.strip() for tag in caption.split(",") if tag.strip()]
    head, tail = tags[:keep], tags[keep:]
    order: Sequence[int] = range(len(tail))
    if shuffles:
        drawn = torch.randperm(len(tail), generator=generator(seed, "caption", presentation))
        order = drawn.tolist()
    stays = _stay(len(tail), tag_dropout, seed, presentation)
    return ", ".join(head + [tail[i] for i in order if stays[i]])


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
