"""How a LoRA file is used: base model, strength and trigger word, read from its own metadata."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping

from studies.text.i18n import ENGLISH, Translator

_LONGEST = 60
"""More characters than that are a description, not a trigger word."""


def trigger_word(facts: Mapping[str, str]) -> str | None:
    """The first caption tag, if at least half of the training captions hold it; None if there is none.

    Args:
        facts: ``ss_tag_frequency`` and ``ss_num_train_images`` of a LoRA file.
    """
    try:
        folders = json.loads(facts.get("ss_tag_frequency", "{}"))
        images = int(facts.get("ss_num_train_images", "0"))
        counts: Counter[str] = Counter()
        for tags in folders.values():
            counts.update({str(tag): int(count) for tag, count in tags.items()})
    except (ValueError, AttributeError, TypeError, OverflowError, RecursionError):
        return None
    if images < 1 or not counts:
        return None
    tag, count = counts.most_common(1)[0]
    return tag if 2 * count >= images and 0 < len(tag) <= _LONGEST else None


def advice(facts: Mapping[str, str], say: Translator = ENGLISH) -> str:
    """What to write into a prompt."""
    word = trigger_word(facts)
    if word is None:
        return say("Write prompts the way the training captions are written; they share no trigger word.")
    return say("Begin prompts with the trigger word: {word}", word=word)
