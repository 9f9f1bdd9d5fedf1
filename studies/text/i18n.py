"""The language of what a person reads: English stands in the code, others in catalogues of gettext."""

from __future__ import annotations

from dataclasses import dataclass, field
from gettext import GNUTranslations, NullTranslations
from pathlib import Path

TRANSLATED = ("zh",)
"""Languages with a catalogue; `make messages` keeps them in step with the code."""
LANGUAGES = ("en", *TRANSLATED)
"""What ``--lang`` takes."""
_LOCALES = Path(__file__).parent / "locales"


def marked(text: str) -> str:
    """The same text; marks a constant that a translator is given later, so that it can be collected."""
    return text


@dataclass(frozen=True)
class Translator:
    """Says sentences in one language. Values stand in ``{braces}``; what is unknown stays English."""

    language: str = "en"
    catalogue: NullTranslations = field(default_factory=NullTranslations)

    def __call__(self, text: str, /, **values: object) -> str:
        """A sentence with its values."""
        return self.pattern(text).format(**values)

    def pattern(self, text: str) -> str:
        """A sentence whose places are still empty."""
        return self.catalogue.gettext(text) if text else text


ENGLISH = Translator()


def translator(language: str) -> Translator:
    """The translator of one of ``LANGUAGES``.

    Raises:
        KeyError: it is none of them.
    """
    if language not in LANGUAGES:
        raise KeyError(language)
    if language not in TRANSLATED:
        return ENGLISH
    with path(language, "mo").open("rb") as file:
        return Translator(language, GNUTranslations(file))


def path(language: str, kind: str) -> Path:
    """Where a catalogue lies: ``po`` for translators, ``mo`` for the program."""
    return _LOCALES / language / "LC_MESSAGES" / f"lorasearch.{kind}"
