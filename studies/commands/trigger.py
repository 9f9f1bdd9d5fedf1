"""The trigger word of a set of captions, wherever it stands (pure)."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

_SHARE = 0.5
"""Share of the captions that must begin or end with a tag before it is called the trigger."""
_SHARE_INSIDE = 0.8
"""Share that must hold a word before it is called the trigger though it stands inside."""
_LONGEST = 60
"""More characters than that are a description, not a trigger."""
_WORD = re.compile(r"[\w'-]+")
COMMON = frozenset(
    {
        "a", "an", "the", "of", "with", "without", "and", "or", "in", "into", "on", "at", "by", "for", "from", "to",
        "near", "under", "over", "behind", "beside", "between", "through", "wearing", "is", "are", "this", "that", "it",
        "its", "photo", "photograph", "close-up", "picture", "image", "drawing", "illustration", "painting",
        "render", "portrait", "style", "art", "background", "white", "black", "simple", "quality", "best",
        "masterpiece", "solo", "girl", "boy", "man", "woman", "person", "1girl", "1boy", "looking", "viewer",
        "female", "male",
    }
)  # fmt: skip
"""Words that stand in captions of everything."""

Place = Literal["first", "last", "inside"]


@dataclass(frozen=True, slots=True)
class Trigger:
    """Words that stand in most captions."""

    words: str
    place: Place
    """The first tag, the last one, or anywhere."""
    captions: int
    """How many hold it."""


def trigger(captions: Sequence[str]) -> Trigger | None:
    """The commonest first tag, else the commonest last one, else an uncommon word of nearly all captions."""
    tags = [[tag.strip() for tag in caption.split(",") if tag.strip()] for caption in captions]
    ends: tuple[tuple[Place, list[str]], ...] = (
        ("first", [own[0] for own in tags if own]),
        ("last", [own[-1] for own in tags if len(own) > 1]),
    )
    for place, found in ends:
        if words := _commonest(found, _SHARE * len(captions)):
            return Trigger(words, place, _holding(words, captions))
    words = _commonest(_inside(captions), _SHARE_INSIDE * len(captions))
    return Trigger(words, "inside", _holding(words, captions)) if words else None


def _commonest(found: Iterable[str], least: float) -> str:
    counts = Counter(found).most_common(1)
    if not counts or counts[0][1] < least or len(counts[0][0]) > _LONGEST:
        return ""
    return counts[0][0]


def _inside(captions: Sequence[str]) -> Iterable[str]:
    """Every caption's words, each once, without those of captions of everything."""
    for caption in captions:
        yield from dict.fromkeys(word for word in _WORD.findall(caption) if word.lower() not in COMMON)


def _holding(words: str, captions: Sequence[str]) -> int:
    return sum(words.casefold() in caption.casefold() for caption in captions)
