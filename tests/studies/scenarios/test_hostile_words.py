"""Captions and names that try to act, through everything that shows them."""

from __future__ import annotations

import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from optuna_dashboard import get_note

from studies.commands import dashboard
from studies.commands.check import ImageFinding, told
from studies.images import problem_sheet
from studies.report import plots
from studies.report.choice import named
from studies.report.findings import Finding as Tile
from studies.report.image_grids import Pair
from studies.report.page import Flag, Grid, GridRow, Page, Table, TableRow, render
from studies.report.plots import of_runs
from studies.report.study_page import write
from studies.selection.document import Files, Run
from studies.selection.selection import Selector
from studies.study.trial import Origin
from studies.text.i18n import ENGLISH, translator
from tests.studies import invented, made
from tests.studies.cli.conftest import run as run
from tests.studies.invented import Invented, invent
from tests.studies.report.test_choice import by_rule
from tests.studies.report.test_notes import rendered

HOSTILE = [
    "<script>parent.alert(1)</script>",
    "</script><script>alert(2)</script>",
    "<img src=x onerror=alert(3)>",
    '" onmouseover="alert(4)',
    "' autofocus onfocus='alert(5)",
    "[click](javascript:alert(6))",
    "![pixel](http://evil.example/p.png)",
    "<javascript:alert(7)>",
    "http://evil.example/auto www.evil.example me@evil.example",
    "`code` ```fence``` ~~~",
    "| a | b |\\n|---|---|",
    "# head",
    "[ref]: javascript:alert(8)",
    "&lt;script&gt; &#x3c;b&#x3e;",
    "{{ 7 * 7 }} {% raw %} ${8 * 8}",
    "\x1b[2J\x1b[31mred\x1b]0;title\x07",
    "\u202etxt.exe",
    "[bold red]markup[/bold red] [/nope]",
]
ALL = " ".join(HOSTILE)
ACTIVE = {"script", "img", "a", "iframe", "svg", "object", "form", "input", "style", "link", "base", "meta"}


class Parts(HTMLParser):
    """Elements of a page with their attributes, and its text outside of scripts."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words = ""
        self._inside = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._inside = tag

    def handle_data(self, data: str) -> None:
        self.words += data if self._inside not in ("script", "style") else ""


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Invented:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(invented, "HOSTILE", ALL)
        patch.setattr(invented, "TRAP", ALL)
        return invent(tmp_path_factory.mktemp("hostile"), trials=6, rich=True)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_report_shows_them_and_runs_none(hostile: Invented, language: str) -> None:
    text = write(hostile.study, hostile.selection, translator(language)).read_text(encoding="utf-8")
    page = Parts(text)
    assert "<script>parent.alert(1)</script>" in page.words
    assert "![pixel](http://evil.example/p.png)" in page.words and "{{ 7 * 7 }}" in page.words
    for tag, attributes in page.tags:
        assert not [name for name in attributes if name.startswith("on")], (tag, attributes)
        for name in ("src", "href"):
            assert re.match(r"(data:|#|blob:)", attributes.get(name) or "#"), (tag, attributes)
    assert "alert(1)" not in "".join(re.findall(r"<script[^>]*>(?:(?!</script>).)*parent\.alert", text, re.S))


def test_notes_of_the_dashboard_show_them_and_link_nowhere(hostile: Invented) -> None:
    dashboard.annotate(hostile.study, hostile.selection)
    memory = hostile.study.memory
    notes = [get_note(memory._study), *(get_note(memory._trial(r.number)) for r in memory.records())]
    assert any("parent" in note for note in notes)
    for note in notes:
        seen = rendered(note)
        active = [(tag, attributes) for tag, attributes in seen.tags if tag in ACTIVE]
        assert all(tag == "img" and a.get("alt") == "contact sheet" for tag, a in active), active
        if "parent" in note:
            assert "<script>parent.alert(1)</script>" in seen.text
            assert "[click](javascript:alert(6))" in seen.text


def test_the_page_of_a_judgement_escapes_names_and_prompts() -> None:
    scores = made.card(-0.1)
    origin = Origin(run=ALL, label=ALL, unit=ALL)
    files = [made.checkpoint(i, 1, scores, file=ALL, origin=origin) for i in range(2)]
    selection = Selector(ALL, 0, 2, by_rule(), files).provisional()
    of = Files(base=ALL, clip=None, resolution=64, runs=(Run(run=ALL, files=2), Run(run="b", files=0)))
    selection = selection.model_copy(update={"files": of})
    rows = [TableRow(named(selection, one), one.checkpoint, 0.0, 1, ALL) for one in selection.candidates]
    drawn = plots.of_files(selection)
    page = Parts(
        render(
            Page(
                name=ALL,
                kind=ALL,
                headline=ALL,
                reason=ALL,
                selection=selection,
                file=ALL,
                flags=[Flag(ALL, ALL)],
                lines=[ALL],
                findings=[Tile(ALL, ALL, ALL, ALL, "good", ALL)],
                findings_note=ALL,
                grid=Grid(ALL, ALL, (ALL,), [GridRow(ALL, [ALL], ["data:,"], ALL)]),
                plots=drawn,
                curves=of_runs(selection, drawn, ENGLISH),
                pairs=[Pair("data:,", "data:,", ALL, ALL, 1.0)],
                rule=ALL,
                ruling=ALL,
                table=Table(ALL, ALL, rows, [], ALL, ranks=True, note=ALL),
                warnings=[ALL],
                measured=[(ALL, ALL)],
            )
        )
    )
    assert page.words.count(HOSTILE[0]) >= 15
    assert not [
        tag for tag, _ in page.tags if tag in ACTIVE - {"img", "meta", "style", "svg", "script", "link"}
    ]
    assert all((a.get("src") or "").startswith("data:") for tag, a in page.tags if tag == "img")
    assert not [a for _, a in page.tags for name in a if name.startswith("on")]


def test_a_sheet_of_problems_is_drawn_with_them(hostile: Invented, tmp_path: Path) -> None:
    picture = hostile.study.dataset.examples[0].path
    odd = shutil.copy(picture, tmp_path / "](javascript:alert(1)).png")
    sheet = problem_sheet({Path(odd): HOSTILE, picture: [ALL]})
    assert sheet.height > 0
    sentences = list(told([ImageFinding("no trigger", Path(odd), ALL)]))
    assert ALL in sentences[0]


@pytest.mark.parametrize("command", ["check", "status", "select", "report", "compare", "plan"])
def test_no_command_prints_what_a_terminal_obeys(hostile: Invented, command: str, run: Any) -> None:
    root = hostile.workspace.root
    words: dict[str, list[object]] = {
        "check": [root.parent / "study.toml", "--trigger", "\x1b[5mtrigger"],
        "plan": [root.parent / "study.toml"],
        "compare": [root, root],
    }
    _, out, err = run(command, *words.get(command, [root]))
    assert out or err
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", out + err)


def test_json_output_stays_json(hostile: Invented, run: Any) -> None:
    code, out, _ = run("check", hostile.workspace.root.parent / "study.toml", "--json")
    assert code in (0, 2) and json.loads(out)
    assert "\x1b" not in out
