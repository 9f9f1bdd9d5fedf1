"""Options that several commands share."""

from __future__ import annotations

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
