"""The language of what a person reads: English stands in the code, others in a catalogue (pure)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

LANGUAGES = ("en", "zh")
"""What ``--lang`` takes."""


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


ENGLISH = Translator()


def translator(language: str) -> Translator:
    """The translator of one of ``LANGUAGES``.

    Raises:
        KeyError: it is none of them.
    """
    from studies.text.chinese import SENTENCES

    return {"en": ENGLISH, "zh": Translator("zh", SENTENCES)}[language]
