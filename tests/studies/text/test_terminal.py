"""Nothing that a stranger wrote acts in a terminal."""

from __future__ import annotations

import io

import pytest
from rich.console import Console
from rich.table import Table

from studies.runner.progress import LineLog
from studies.text.format import described
from studies.text.terminal import cell, plain

CODES = [
    "\x1b[2J\x1b[31m",
    "\x1b]0;title\x07",
    "\x9b31m",
    "a\rb",
    "\x08\x08",
    "\u202etxt.exe",
    "\u2066x",
    "\udcff",
    "\x00",
]


@pytest.mark.parametrize("text", CODES, ids=ascii)
def test_codes_are_spelt_out(text: str) -> None:
    shown = plain(f"cat {text} dog")
    assert shown.startswith("cat ") and shown.endswith(" dog")
    assert shown.isprintable() and shown.encode()


@pytest.mark.parametrize("text", ["plain", "红心，ä é 🙂", "a\tb\nc", "[red]x[/]", "\\x1b"])
def test_words_stay_as_they_are(text: str) -> None:
    assert plain(text) == text


@pytest.mark.parametrize(
    "text", ["[bold red]x[/bold red]", "[/nope]", "[link=http://evil]x[/link]", "\x1b[31mred"]
)
def test_square_brackets_are_no_markup_in_tables(text: str) -> None:
    table = Table()
    table.add_column(cell(text))
    table.add_row(cell(text))
    page = io.StringIO()
    Console(file=page, width=100, force_terminal=True, color_system="truecolor").print(table)
    assert page.getvalue().count(plain(text)) == 2
    assert "\x1b]8" not in page.getvalue()


def test_a_log_line_holds_no_codes() -> None:
    page = io.StringIO()
    log = LineLog(Console(file=page, force_terminal=False))
    log.started(3, {"lora.blocks": "\x1b[2J[red]"}, resumed=False)
    log.phase("scoring \x1b]0;x\x07")
    assert "\x1b" not in page.getvalue() and "[red]" in page.getvalue()
    assert described({"a.b": "\x07"}) == "b \\x07"
