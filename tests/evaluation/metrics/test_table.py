"""A metric is a function, a row and a test: a new row is measured, weighed, barred by nothing, and shown everywhere."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator

import pytest
import torch

from evaluation.encoders import ClipEncoder
from evaluation.image_scores import Renders
from evaluation.judge import Judge, Panel
from evaluation.metrics.table import METRICS, Metric, directions
from evaluation.pooling import pooled, repeated
from evaluation.rendering import RenderSettings
from evaluation.scorecard import ScoreCard
from evaluation.subject import Subject
from search.objective import SPREAD_FLOOR, weight_problems
from studies.engines.units import LEAST, measured_units
from studies.report import checkpoint_section, checkpoint_table, findings, notes, summary
from studies.report.explanation import rule
from studies.selection.rule import Rule
from studies.spec.guards import GuardsSection
from studies.spec.sections import ConfirmSection
from studies.study.trial import Trial
from studies.text.i18n import ENGLISH
from tests.evaluation.conftest import Stand
from tests.studies import made

SETTINGS = RenderSettings(steps=2, guidance=3.0, width=64, height=64)


def redness(of: Renders) -> torch.Tensor:
    """How much redder than green each render is on average, in points of 100: shape (subjects, renders)."""
    red, green, _ = of.pictures.double().mean(dim=(-2, -1)).unbind(-1)
    return 100 * (red - green)


@pytest.fixture
def registered() -> Iterator[None]:
    meanings = {"good": "It is redder.", "bad": "It is less red.", "neutral": "It is as red."}
    row = Metric("redness", +1, 1, "redness", "red", "redness of renders", "Red", meanings, redness)  # type: ignore[arg-type]
    METRICS[row.name] = row
    yield
    del METRICS[row.name]


@pytest.mark.usefixtures("registered")
def test_a_new_row_is_measured_pooled_weighed_and_shown(stand: Stand) -> None:
    split = stand.data.dataset.split
    panel = Panel(split.validation, (), ("a red heart", "a frog"), 3, 5, SETTINGS, 24)
    judge = Judge(stand.data, stand.bank, panel, None)
    ((card, pictures),) = judge.score([Subject(0)])
    expected = 100 * (pictures[:, 0] - pictures[:, 1]).mean(dim=(-2, -1))
    found = card.metrics["redness"]
    assert found.value == pytest.approx(float(expected.mean()), abs=1e-4)
    assert found.difference.mean == pytest.approx(found.value - found.base, abs=1e-9)  # type: ignore[operator]
    assert ScoreCard.model_validate_json(card.model_dump_json()) == card
    assert pooled([card, card]).metrics["redness"].cells == found.cells * 2
    assert repeated([card, card]).metrics["redness"].cells == found.cells
    assert measured_units([judge], [judge], {})["redness"] == pytest.approx(LEAST * SPREAD_FLOOR)
    assert weight_problems({"redness": 1.0}, directions()) == []
    weighing = Rule(
        weights={"redness": 1.0},
        guards=GuardsSection(),
        confirm=ConfirmSection(),
        units={"redness": 2.0},
    )
    assert weighing.objective(card).mean == pytest.approx(found.difference.mean / 2)
    assert "redness with weight 1 (higher is better)" in rule(weighing)
    shown(card)


def shown(card: ScoreCard) -> None:
    """In the table, on the page, in the notes and in the terminal."""
    trial = Trial(0, {}, "finished", (made.checkpoint(0, 1, card),))
    (row,) = csv.DictReader(io.StringIO(checkpoint_table.csv([trial], []).decode()))
    assert float(row["redness"]) == pytest.approx(card.metrics["redness"].difference.mean)
    assert [tile.label for tile in findings.findings(card, 2, "test")] == ["Loss", "Red"]
    (column,) = checkpoint_section.columns(trial.checkpoints, ENGLISH)
    assert (column.label, column.digits) == ("redness", 1)
    assert "| redness |" in notes.trial_note(trial)
    assert any("redness of renders" in line for line in summary.scores(card))


def test_every_row_says_what_it_needs_and_means() -> None:
    for name, metric in METRICS.items():
        assert metric.name == name and metric.direction in (-1, 1)
        assert set(metric.meanings) == {"good", "bad", "neutral"}
        assert metric.label and metric.short and metric.long and metric.title


def test_a_clip_alone_measures_every_metric_of_its_own_prompts(stand: Stand, assets: object) -> None:
    clip = ClipEncoder(f"{assets}/micro-clip", torch.device("cpu"))
    split = stand.data.dataset.split
    panel = Panel(split.validation, (), ("a frog", "a frog"), 3, 5, SETTINGS, 24, training=split.train)
    figures = Judge(stand.data, stand.bank, panel, clip).base.figures
    assert list(figures) == ["clip_image", "clip_text", "style", "diversity", "memorisation"]
