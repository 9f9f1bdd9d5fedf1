"""The language of what a person reads: English stands in the code, others in a catalogue (pure)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache

LANGUAGES = ("en", "zh")
"""What ``--lang`` takes."""

_PLACE = re.compile(r"\{(\w+)\}")


def marked(text: str) -> str:
    """The same text; marks a constant that a translator is given later, so that it can be collected."""
    return text


@dataclass(frozen=True)
class Translator:
    """Says sentences in one language. Values stand in ``{braces}``; what is unknown stays English."""

    language: str = "en"
    catalogue: Mapping[str, str] = field(default_factory=dict)

    def __call__(self, text: str, /, **values: object) -> str:
        """A sentence with its values."""
        return self.pattern(text).format(**values)

    def pattern(self, text: str) -> str:
        """A sentence whose places are still empty."""
        return self.catalogue.get(text, text)

    def again(self, stored: str, patterns: Iterable[str]) -> str | None:
        """A sentence that was stored in English, said anew; None where it fits none of the patterns.

        Args:
            stored: the sentence with its values.
            patterns: what it may have been made from.
        """
        for pattern in patterns:
            if found := _shape(pattern).fullmatch(stored):
                return self(pattern, **found.groupdict())
        return None


@cache
def _shape(pattern: str) -> re.Pattern[str]:
    """An expression that finds the values in a sentence."""
    parts = _PLACE.split(pattern)
    return re.compile(
        "".join(f"(?P<{part}>.+?)" if i % 2 else re.escape(part) for i, part in enumerate(parts)), re.DOTALL
    )


ENGLISH = Translator()


def translator(language: str) -> Translator:
    """The translator of one of ``LANGUAGES``.

    Raises:
        KeyError: it is none of them.
    """
    from studies.text.chinese import SENTENCES

    return {"en": ENGLISH, "zh": Translator("zh", SENTENCES)}[language]
