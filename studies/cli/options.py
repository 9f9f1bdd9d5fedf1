"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import TypedDict

import click

from studies.text.i18n import LANGUAGES

page_language = click.option(
    "--lang",
    "language",
    type=click.Choice(LANGUAGES),
    default="en",
    show_default=True,
    help="The page's language: English or Chinese.",
)


class JudgeWords(TypedDict):
    """What ``judge`` is asked of files and of sample pictures alike."""

    data: Path
    held_out: Path | None
    clip: str | None
    resolution: int | None
    out: Path | None
    seed: int | None
