from __future__ import annotations

import csv
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from search.trial import Reason
from studies.report.study_page import write
from studies.selection import document
from studies.selection.document import Selection
from tests.studies.invented import HOSTILE, MEMORISING, OVERFIT, Invented, invent


class Page(HTMLParser):
    """Counts elements, and gathers texts, addresses and the plots' JSON."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.pictures: list[str] = []
        self.parts: list[str] = []
        self.rows: dict[str, list[str]] = {}
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
        if found.get("id") in ("grid", "side", "pairs", "diagnoses", "checkpoints", "finalists"):
            self._part = str(found["id"])
        if tag == "tr":
            self.rows.setdefault(self._part, []).append("")
        if tag == "img":
            self.pictures.append(found["src"] or "")
            self.parts.append(self._part)
        self.addresses += [found[key] or "" for key in ("src", "href") if key in found]

    def handle_endtag(self, tag: str) -> None:
        self._script = None
        if tag == "table":
            self._part = ""

    def handle_data(self, data: str) -> None:
        if self._script:
            self.plots[self._script] = self.plots.get(self._script, "") + data
        elif self._script is None:
            self.texts.append(data)
            if self.rows.get(self._part):
                self.rows[self._part][-1] += f" {data.strip()}"


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Invented:
    return invent(tmp_path_factory.mktemp("finished"))


@pytest.fixture(scope="module")
def text(finished: Invented) -> str:
    return write(finished.study, finished.selection).read_text(encoding="utf-8")


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
    winner = finished.study.memory.record(finished.selection.winner.trial)
    rows = 1 + len(winner.cards) + 1
    assert page.parts.count("grid") == rows * finished.study.prompt_count


def test_finalists_stand_side_by_side_with_the_base(finished: Invented, page: Page) -> None:
    finalists = finished.selection.finalists
    assert page.parts.count("side") == (1 + len(finalists)) * finished.study.prompt_count


def test_chosen_epoch_is_marked_once_in_the_grid(finished: Invented, text: str) -> None:
    grid = text[text.index('<div class="box grid" id="grid">') :]
    grid = grid[: grid.index("</table>")]
    epoch = finished.selection.winner.epoch
    assert re.findall(r'class="won" data-kind="checkpoint"><th[^>]*>epoch (\d+)', grid) == [str(epoch)]


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
    (recipe,) = finished.selection.baselines
    ahead = f"{recipe.lead.mean:+.2f} ± {recipe.lead.standard_error:.2f}"
    assert (
        f"Against the study file's recipe trial 0, epoch 6, trained to its end without pruning: {ahead}."
        in words
    )
    assert "the loss became nan after 17 images" in words


def test_says_what_was_lowered_to_keep_to_the_judges_share(finished: Invented, page: Page) -> None:
    asked, given = finished.study.asked, finished.study.spec.judge
    assert asked is not None and asked.steps > given.steps
    words = " ".join(" ".join(page.texts).split())
    assert "judging keeps to 15% of the training (judge.share): judge." in words
    assert f"judge.steps {given.steps} (of {asked.steps})" in words


def test_unfinished_study_without_clip_has_a_provisional_report(tmp_path: Path) -> None:
    found = invent(tmp_path, trials=4, clip=False, finished=False)
    text = write(found.study, found.selection).read_text(encoding="utf-8")
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
    text = write(found.study, found.selection).read_text(encoding="utf-8")
    assert "What it draws" not in text
    assert "This file is missing" in text


@pytest.fixture(scope="module")
def rich(tmp_path_factory: pytest.TempPathFactory) -> Invented:
    return invent(tmp_path_factory.mktemp("rich"), trials=12, rich=True)


@pytest.fixture(scope="module")
def full(rich: Invented) -> Page:
    return Page(write(rich.study, rich.selection).read_text(encoding="utf-8"))


def test_every_trial_is_diagnosed_with_its_remedy(rich: Invented, full: Page) -> None:
    rows = full.rows["diagnoses"][1:]
    assert len(rows) == len(rich.study.memory.records())
    assert "Overfit from epoch 2" in rows[OVERFIT] and "Remedy: fewer repeats" in rows[OVERFIT]
    assert "Memorising from epoch" in rows[MEMORISING] and "A guard bars every checkpoint" in rows[MEMORISING]
    assert "the loss became nan after 17 images" in rows[2]
    assert any("12 trials:" in text and "1 memorising" in text for text in full.texts)


def test_renders_stand_beside_their_nearest_training_images_the_most_alike_first(
    rich: Invented, full: Page
) -> None:
    scores = rich.selection.winner.scores
    rises, nearest = scores.metrics["memorisation"].cells, scores.nearest_training
    assert nearest is not None
    order = sorted(range(len(rises)), key=lambda i: -rises[i])
    examples = rich.study.dataset.examples
    names = [examples[nearest[i]].path.name for i in order]
    shown = [
        label.removeprefix("training image ") for label in full.labels if label.startswith("training image ")
    ]
    assert shown == names
    assert full.parts.count("pairs") == 2 * len(names)
    trained = {examples[i].path.name for i in rich.study.dataset.split.train}
    assert set(shown) <= trained


def test_every_figure_has_its_error_and_the_base_has_its_own_row(rich: Invented, full: Page) -> None:
    for part in ("finalists", "checkpoints"):
        assert full.rows[part][1].split()[:2] == ["base", "model"]
        assert {"61.00", "24.00", "31.00", "−1.50"} <= set(full.rows[part][1].split())
    finalists = rich.selection.finalists
    for row in full.rows["finalists"][2:]:
        assert row.count("±") >= 7
    assert len(full.rows["finalists"]) == 2 + len(finalists)


def test_barred_checkpoints_and_the_front_are_marked(rich: Invented, full: Page) -> None:
    front = {(c.trial, c.epoch) for c in rich.selection.pareto}
    assert sum("◆" in row for row in full.rows["checkpoints"]) == len(front)
    barred = sum(c.barred is not None for c in rich.selection.candidates)
    assert barred == 6
    assert any(
        f"{barred} of {len(rich.selection.candidates)} checkpoints were barred" in t for t in full.texts
    )


def test_what_cannot_be_separated_is_said_at_the_top(rich: Invented) -> None:
    unclear = Reason("cannot_tell", {"rivals": 2, "trial": 3, "epoch": 1, "images": 40})
    selection = rich.selection.model_copy(update={"answers": (unclear,)})
    texts = [text.strip() for text in Page(write(rich.study, selection).read_text(encoding="utf-8")).texts]
    texts = [text for text in texts if text]
    said = texts[texts.index("invented") + 1]
    assert said.startswith("Cannot tell which of 2 is best") and "trial 3, epoch 1. About 40 more" in said
    assert not any(text.startswith("Use epoch") for text in texts)


def test_the_csv_file_has_values_errors_and_the_base(rich: Invented, full: Page) -> None:
    with rich.workspace.checkpoints.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    row = next(r for r in rows if (r["trial"], r["epoch"]) == (str(MEMORISING), "6"))
    assert float(row["diversity_value"]) == pytest.approx(
        float(row["diversity_base"]) + float(row["diversity"])
    )
    assert float(row["memorisation_error"]) == 0.5


def test_a_verdict_of_the_format_before_still_has_a_page(rich: Invented) -> None:
    found = document.parse(of_format_1(rich.selection))
    assert found is not None
    assert found.winner.key == rich.selection.winner.key and found.finalists == rich.selection.finalists
    assert write(rich.study, found).stat().st_size > 100_000


def test_a_verdict_of_format_2_is_read_with_its_noise_as_the_units(rich: Invented) -> None:
    stored = rich.selection.to_json()
    del (
        stored["answers"],
        stored["baselines"],
        stored["confirmation"]["care"],
        stored["explanation"]["answer"],
    )
    stored["rule"]["spreads"] = stored["rule"].pop("units")
    found = document.parse(stored | {"format": 2})
    assert found is not None
    assert (found.format, found.rule, found.finalists) == (3, rich.selection.rule, rich.selection.finalists)
    assert (found.answers, found.refused, found.summary) == ((), False, "")
    assert write(rich.study, found).stat().st_size > 100_000


def of_format_1(selection: Selection) -> dict[str, Any]:
    """The document as version 0.1 wrote it."""
    found = selection.to_json()
    rule = found["rule"]
    for one in (found["winner"], *found["candidates"], *found["confirmation"]["finalists"]):
        one["scores"] = in_fields(one["scores"])
        one["barred"] = one.get("barred") and "memorisation is high"
        one.pop("file", None) if one is not found["winner"] else None
        one.pop("rank", None)
        one.pop("origin", None)
    del found["confirmation"]["best"], found["confirmation"]["care"]
    return {
        "study": found["name"],
        "seed": found["seed"],
        "trials": found["trials"],
        "rule": "The objective is ...",
        "winner": found["winner"] | {"reason": "Trial ..."},
        "spreads": rule["units"],
        "shares_of_variance": found["shares_of_variance"],
        "pareto": found["pareto"],
        "candidates": found["candidates"],
        "asked": {"objective": rule["weights"], "guards": rule["guards"], "confirm": rule["confirm"]},
        "confirmation": found["confirmation"],
        "test": in_fields(found["test"]),
        "tested_before": [[one["trial"], one["epoch"]] for one in found["tested_before"]],
    }


def in_fields(card: dict[str, Any]) -> dict[str, Any]:
    """A card with a field for each part of each metric."""
    metrics = card["metrics"]
    fields = {k: v for k, v in card.items() if k != "metrics"}
    fields["base_values"] = {name: found["base"] for name, found in metrics.items() if found["base"]}
    for name, found in metrics.items():
        fields |= {name: found["difference"], f"{name}_value": found["value"]}
        fields[f"{name}_level"] = found["level"]
        fields["validation_by_image" if name == "validation" else f"{name}_by_prompt"] = found["cells"]
    return fields
