"""What a set of pictures is of, as its captions tell (pure)."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from studies.commands.trigger import COMMON, trigger
from studies.spec.subjects import Subject

_MOST = 0.6
"""Share of the captions that must tell of the same."""
_STYLE = "captions name all sorts of things; object, character and person judge likeness first"
_DRAWN = frozenset({"1girl", "1boy", "1other"})
"""Tags of one drawn character."""
_PEOPLE = frozenset(
    {"man", "woman", "girl", "boy", "person", "lady", "guy", "male", "female", "baby", "child"}
)
_WORD = re.compile(r"[\w'-]+")


@dataclass(frozen=True, slots=True)
class Guess:
    """A kind of subject, and why."""

    kind: Subject
    reason: str
    called: str = ""
    """What prompts call it; empty: nothing calls it."""


def subject_of(captions: Sequence[str]) -> Guess:
    """One drawn character, one person, one thing, or else a style.

    One person or thing has a trigger, and captions that name the same sort of thing beside it; captions of a style name
    all sorts.
    """
    said = [_words(caption) for caption in captions if caption.strip()]
    enough = _MOST * len(said)
    found = trigger(captions)
    if found and "style" in found.words.lower():
        return Guess("style", f"the trigger is {found.words!r}")
    if said and sum(bool(_DRAWN & words) for words in said) >= enough:
        called = found.words if found and not _DRAWN & _words(found.words) else ""
        return Guess("character", "most captions have the tag of one drawn character", called)
    if found is None:
        return Guess("style", _STYLE)
    if sum(bool(_PEOPLE & words) for words in said) >= enough:
        word, _ = _commonest(words & _PEOPLE for words in said)
        return Guess(
            "person", f"most captions name a person beside {found.words!r}", _called(found.words, word)
        )
    own = _words(found.words)
    word, count = _commonest(words - own - COMMON for words in said)
    if len(own) > 1 or count < enough:
        return Guess("style", _STYLE)
    return Guess("object", f"most captions name {word!r} beside {found.words!r}", _called(found.words, word))


def _called(trigger: str, word: str) -> str:
    return trigger if word in _words(trigger) else f"{trigger} {word}"


def _words(text: str) -> set[str]:
    return set(_WORD.findall(text.lower()))


def _commonest(sets: Iterable[set[str]]) -> tuple[str, int]:
    counts = Counter(word for words in sets for word in words)
    return max(counts.items(), key=lambda pair: (pair[1], pair[0]), default=("", 0))
