from __future__ import annotations

import csv
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from studies import report
from tests.studies.invented import HOSTILE, Invented, invent


class Page(HTMLParser):
    """Counts elements, and gathers texts, addresses and the plots' JSON."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.pictures: list[str] = []
        self.parts: list[str] = []
        self.addresses: list[str] = []
        self.plots: dict[str, str] = {}
        self.texts: list[str] = []
        self.labels: list[str] = []
        self._part = ""
        self._script: str | None = None
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        found = dict(attributes)
        self._script = (found.get("data-plot") or "") if tag in ("script", "style") else None
        self.labels += [found[key] or "" for key in ("alt", "aria-label", "title") if key in found]
        if found.get("id") in ("grid", "side", "pairs"):
            self._part = str(found["id"])
        if tag == "img":
            self.pictures.append(found["src"] or "")
            self.parts.append(self._part)
        self.addresses += [found[key] or "" for key in ("src", "href") if key in found]

    def handle_endtag(self, tag: str) -> None:
        self._script = None

    def handle_data(self, data: str) -> None:
        if self._script:
            self.plots[self._script] = self.plots.get(self._script, "") + data
        elif self._script is None:
            self.texts.append(data)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Invented:
    return invent(tmp_path_factory.mktemp("finished"))


@pytest.fixture(scope="module")
def text(finished: Invented) -> str:
    return report.write(finished.study, finished.verdict).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(text: str) -> Page:
    return Page(text)


def test_captions_cannot_run_as_script(text: str, page: Page) -> None:
    assert HOSTILE not in text
    assert any(HOSTILE in words for words in page.texts)


def test_page_asks_nothing_of_the_network(page: Page) -> None:
    assert page.addresses
    assert all(address.startswith("data:") for address in page.addresses)


def test_grid_shows_the_base_every_epoch_and_the_held_out_images(finished: Invented, page: Page) -> None:
    winner = finished.study.memory.record(finished.verdict["winner"]["trial"])
    rows = 1 + len(winner.cards) + 1
    assert page.parts.count("grid") == rows * finished.study.prompt_count


def test_finalists_stand_side_by_side_with_the_base(finished: Invented, page: Page) -> None:
    finalists = finished.verdict["confirmation"]["finalists"]
    assert page.parts.count("side") == (1 + len(finalists)) * finished.study.prompt_count


def test_chosen_epoch_is_marked_once_in_the_grid(finished: Invented, text: str) -> None:
    grid = text[text.index('<div class="box grid" id="grid">') :]
    grid = grid[: grid.index("</table>")]
    epoch = finished.verdict["winner"]["epoch"]
    assert re.findall(r'class="won"><th[^>]*>epoch (\d+)', grid) == [str(epoch)]


def test_csv_has_one_row_a_card_the_best_first(finished: Invented, text: str) -> None:
    with finished.workspace.checkpoints.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == sum(len(record.cards) for record in finished.study.memory.records())
    objectives = [float(row["objective"]) for row in rows]
    assert objectives == sorted(objectives, reverse=True)
    assert set(finished.study.spec.search.space) <= set(rows[0])


def test_every_plot_is_valid_json_with_an_element_to_stand_in(text: str, page: Page) -> None:
    assert {"plot-curves", "plot-gap", "plot-clip", "plot-timesteps", "plot-importance"} <= set(page.plots)
    for name, source in page.plots.items():
        assert {"data", "layout"} <= set(json.loads(source))
        assert f'id="{name}"' in text


def test_says_how_to_use_the_file_and_what_the_search_had_to_beat(finished: Invented, page: Page) -> None:
    words = " ".join(" ".join(page.texts).split())
    assert str(finished.workspace.best) in words
    assert "trigger word sks thing" in words
    assert "recipe that the study file starts with" in words
    assert "the loss became nan after 17 images" in words


def test_unfinished_study_without_clip_has_a_provisional_report(tmp_path: Path) -> None:
    found = invent(tmp_path, trials=4, clip=False, finished=False)
    text = report.write(found.study, found.verdict).read_text(encoding="utf-8")
    page = Page(text)
    assert any("provisional" in words for words in page.texts)
    assert "plot-clip" not in page.plots
    assert "plot-importance" not in page.plots
    assert "CLIP likeness" not in text
    assert not found.workspace.best.exists()


def test_report_needs_neither_pictures_nor_lora_files(tmp_path: Path) -> None:
    found = invent(tmp_path, trials=2, clip=False)
    for path in found.workspace.root.rglob("*.png"):
        path.unlink()
    found.workspace.best.unlink()
    for path in found.workspace.root.glob("trials/*/*.safetensors"):
        path.unlink()
    text = report.write(found.study, found.verdict).read_text(encoding="utf-8")
    assert "What it draws" not in text
    assert "This file is missing" in text
