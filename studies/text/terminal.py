"""Words of strangers in a terminal: captions, file names and metadata may hold codes that terminals obey."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

_CODES = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters but for tab and line feed, marks that turn the direction of writing, undecodable bytes."""
WIDE = 120
"""Columns from which on a table has room for everything."""


def plain(text: str) -> str:
    """The text with every such code spelt out."""
    return _CODES.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def tell(text: str, err: bool = False) -> None:
    """Prints a line in which nothing acts."""
    click.echo(plain(text), err=err)


def cell(text: str) -> Text:
    """A cell or heading of a table, in which square brackets are no markup."""
    from rich.text import Text

    return Text(plain(text))


def screen() -> Console:
    """Standard output for tables, which have room where it is no terminal."""
    from rich.console import Console

    console = Console()
    if not console.is_terminal:
        console.width = max(console.width, WIDE)
    return console
