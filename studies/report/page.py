"""The page for people, of a study or of judged files: one HTML file that needs no network."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal

import jinja2
from markupsafe import Markup

from search.trial import Value
from studies.report.findings import Finding
from studies.report.image_grids import Pair, SideBySide
from studies.report.plot_style import Figure
from studies.selection.document import Finalist, Selection
from studies.study.trial import Checkpoint
from studies.text import format
from studies.text.i18n import ENGLISH, Translator
from trainer.files import write_whole


@dataclass(frozen=True, slots=True)
class Flag:
    """What a reader must know first."""

    label: str
    text: str


@dataclass(frozen=True, slots=True)
class Usage:
    """How the file is used."""

    path: str
    exists: bool
    base: str
    word: str | None
    """The trigger word; None where captions share none."""
    advice: str
    export: str
    """The command that copies it under the study's name; empty before there is a verdict."""


@dataclass(frozen=True, slots=True)
class GridRow:
    """A strip of pictures."""

    label: str
    notes: Sequence[str]
    tiles: Sequence[str | None]
    alt: str
    kind: Literal["base", "checkpoint", "real"] = "checkpoint"
    won: bool = False


@dataclass(frozen=True, slots=True)
class Grid:
    """Pictures of the same prompts and seeds, row by row."""

    title: str
    text: str
    prompts: Sequence[str]
    rows: Sequence[GridRow]


@dataclass(frozen=True, slots=True)
class FinalistRow:
    """A finalist as the table shows it."""

    name: str
    finalist: Finalist
    won: bool
    close: bool
    barred: str


@dataclass(frozen=True, slots=True)
class Diagnosed:
    """What a trial suffers from."""

    trial: int
    state: str
    condition: str
    name: str
    sentence: str
    remedy: str
    reason: str
    best: Checkpoint | None


@dataclass(frozen=True, slots=True)
class Column:
    """A metric of pictures in the tables."""

    name: str
    label: str
    base: float | None
    digits: int


@dataclass(frozen=True, slots=True)
class TableRow:
    """A checkpoint in the table of all."""

    name: str
    checkpoint: Checkpoint
    objective: float | None
    images: int | None
    outcome: str
    won: bool = False
    barred: bool = False
    front: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """Every checkpoint."""

    title: str
    text: str
    rows: Sequence[TableRow]
    columns: Sequence[Column]
    outcome: str
    """Heading of the last column."""
    ranks: bool = False
    """Whether ranks are worth a column."""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Plot:
    """A figure with its heading."""

    id: str
    title: str
    height: int
    note: str = ""


@dataclass(frozen=True, slots=True)
class Page:
    """What the page says, section by section; what is empty is left out."""

    name: str
    kind: str
    headline: str
    reason: str
    selection: Selection
    table: Table
    measured: Sequence[tuple[str, str]]
    findings: Sequence[Finding]
    findings_note: str
    rule: str
    ruling: str
    plots: Mapping[str, Figure]
    flags: Sequence[Flag] = ()
    lines: Sequence[str] = ()
    file: str = ""
    usage: Usage | None = None
    params: Mapping[str, Value] = field(default_factory=dict)
    recipes: str = ""
    grid: Grid | None = None
    finalists: Sequence[FinalistRow] = ()
    beside: SideBySide | None = None
    curves: Sequence[Plot] = ()
    diagnoses: Sequence[Diagnosed] = ()
    diagnosis_headline: str = ""
    advice: Sequence[str] = ()
    pairs: Sequence[Pair] = ()
    posts: int = 0
    """Upright lines in the plot of all parameters."""
    slices: Sequence[str] = ()
    time: Sequence[tuple[str, str, float]] = ()
    versions: str = ""
    warnings: Sequence[str] = ()


def write(path: Path, page: Page, say: Translator = ENGLISH) -> None:
    """Writes the page, whole or not at all."""
    write_whole(path, render(page, say).encode())


def render(page: Page, say: Translator = ENGLISH) -> str:
    """The page's HTML; plotly's own script is the only thing that is taken as it is."""
    from plotly.offline import get_plotlyjs

    template = environment(say).get_template("page.html.j2")
    figures = {name: _json(figure) for name, figure in page.plots.items()}
    return template.render(page=page, figures=figures, plotly=Markup(get_plotlyjs()))


def html(say: Translator, text: str, /, **values: object) -> Markup:
    """One of our own sentences, which may hold HTML; its values are escaped."""
    return Markup(say.pattern(text)).format(**values)


def environment(say: Translator = ENGLISH) -> jinja2.Environment:
    """How the page is rendered: everything is escaped but its own sentences, whose values are."""
    made = jinja2.Environment(
        loader=jinja2.PackageLoader("studies.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "estimate": format.estimate,
        "signed": format.signed,
        "value": format.value,
        "plain": format.figure,
    }
    made.globals |= {
        "_": partial(html, say),
        "language": {"en": "en", "zh": "zh-CN"}[say.language],
    }
    return made


def _json(figure: Figure) -> Markup:
    """A figure as JSON that cannot end the script element that it stands in."""
    text = json.dumps(json.loads(figure.to_json()), separators=(",", ":"))
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)
