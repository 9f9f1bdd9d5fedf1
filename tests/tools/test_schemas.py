"""The schemas in ``docs/schemas`` are those of the models, and real output fits them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from tests.studies.cli.conftest import Run
from tests.studies.cli.conftest import run as run
from tests.studies.invented import Invented, invent
from tests.studies.report.test_choice import candidate, selected
from tools import schemas


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Invented:
    return invent(tmp_path_factory.mktemp("finished"), rich=True)


def fits(name: str, document: object) -> None:
    schema = json.loads(schemas.path(name).read_text(encoding="utf-8"))
    Draft202012Validator.check_schema(schema)
    Draft202012Validator(schema).validate(document)


@pytest.mark.parametrize("name", list(schemas.MODELS))
def test_the_schema_is_that_of_the_model(name: str) -> None:
    """Where this fails: ``python -m tools.schemas``."""
    assert schemas.path(name).read_text(encoding="utf-8") == schemas.text(name)


def test_selection_json_fits(finished: Invented) -> None:
    document = json.loads(finished.workspace.selection.read_text(encoding="utf-8"))
    fits("selection", document)
    assert document["format"] == 3


def test_a_judgement_fits_the_same_schema() -> None:
    fits("selection", selected([candidate(0, 1, 0.5), candidate(1, 2, 1.0)], runs=("a", "b")).to_json())


def test_status_and_comparison_fit(finished: Invented, run: Run, tmp_path: Path) -> None:
    root = finished.workspace.root
    status = json.loads(run("status", root, "--json")[1])
    fits("status", status)
    assert status["format"] == 1
    fits("comparison", json.loads(run("compare", root, root, "--json")[1]))


def test_what_lacks_a_figure_does_not_fit() -> None:
    document = selected([candidate(0, 1, 0.5)]).to_json()
    del document["winner"]["scores"]["validation_by_timestep"]
    with pytest.raises(Exception, match="validation_by_timestep"):
        fits("selection", document)
