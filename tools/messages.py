"""Keeps the catalogues of translations in step with the source: ``python -m tools.messages``.

Babel reads every sentence out of ``studies`` and of the table of metrics; each catalogue (.po, for translators) then
holds exactly these, and is compiled (.mo, for the program). Nothing in the files depends on when, where or how often
this runs.
"""

from __future__ import annotations

import io
from contextlib import redirect_stderr
from pathlib import Path

from babel.messages.catalog import Catalog, Message
from babel.messages.extract import extract_from_dir
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

from studies.text import i18n

ROOT = Path(i18n.__file__).parents[2]
FOLDERS = ("evaluation", "studies")
"""The packages in whose code sentences stand."""
KEYWORDS = {"say": None, "marked": None, "_": None}
"""What sentences are given to, first."""
METHODS = [("**.py", "python"), ("report/templates/**.j2", "jinja2")]
OPTIONS = {"report/templates/**.j2": {"trim_blocks": "true", "lstrip_blocks": "true"}}


class Catalogue(Catalog):
    """A catalogue whose header says how to read it, and no date."""

    @property
    def mime_headers(self) -> list[tuple[str, str]]:
        """Lines of the header."""
        return [
            ("Language", str(self.locale)),
            ("Plural-Forms", self.plural_forms),
            ("MIME-Version", "1.0"),
            ("Content-Type", "text/plain; charset=utf-8"),
            ("Content-Transfer-Encoding", "8bit\n"),
        ]


def sentences() -> list[str]:
    """Every sentence that the source can say, in order."""
    with redirect_stderr(
        io.StringIO()
    ):  # Babel takes each formatted string among the values for a lost sentence
        read = (extract_from_dir(ROOT / folder, METHODS, OPTIONS, KEYWORDS) for folder in FOLDERS)
        found = {text for of in read for _, _, text, _, _ in of}
    return sorted(found)


def known(language: str) -> Catalog:
    """What has been translated, as it is in the .po file."""
    with i18n.path(language, "po").open("rb") as file:
        return read_po(file, locale=language)


def renewed(language: str) -> Catalogue:
    """The sentences of the source with what is known of them."""
    before, after = (
        known(language),
        Catalogue(locale=language, header_comment="# What lorasearch shows.", fuzzy=False),
    )
    for text in sentences():
        message = before.get(text) or Message(text)
        added = after.add(text, message.string, flags=message.flags, user_comments=message.user_comments)
        added.flags.discard("python-format")  # a per cent sign is one here; places stand in braces
    return after


def po(catalogue: Catalog) -> bytes:
    """The file for translators."""
    file = io.BytesIO()
    write_po(file, catalogue, width=100, sort_output=True, no_location=True)
    return file.getvalue()


def mo(catalogue: Catalog) -> bytes:
    """The file for the program; what is fuzzy or untranslated is not in it."""
    file = io.BytesIO()
    write_mo(file, catalogue)
    return file.getvalue()


def main() -> None:
    """Writes both files of every language, and tells what waits for a translator."""
    for language in i18n.TRANSLATED:
        catalogue = renewed(language)
        i18n.path(language, "po").write_bytes(po(catalogue))
        i18n.path(language, "mo").write_bytes(mo(catalogue))
        for message in catalogue:
            if message.id and (message.fuzzy or not message.string):
                print(f"{language}: {message.id}")


if __name__ == "__main__":
    main()
