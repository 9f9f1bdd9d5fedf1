"""Writes the JSON schemas of what scripts read, from the models: ``python -m tools.schemas``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel

from studies.commands.compare import Comparison
from studies.commands.status import Status
from studies.selection.document import Selection
from studies.selection.judged_samples import SampleVerdict

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "schemas"
MODELS: Mapping[str, type[BaseModel]] = {
    "selection": Selection,
    "status": Status,
    "comparison": Comparison,
    "samples": SampleVerdict,
}
"""``selection.json`` and ``judgement.json``, ``status --json``, ``compare --json``, ``samples.json``."""


def path(name: str) -> Path:
    """Where the schema of that name lies."""
    return FOLDER / f"{name}.schema.json"


def text(name: str) -> str:
    """The schema as its file holds it."""
    schema = MODELS[name].model_json_schema(mode="serialization")
    return json.dumps(schema, indent=1, ensure_ascii=False) + "\n"


def main() -> None:
    """Writes all of them."""
    FOLDER.mkdir(exist_ok=True)
    for name in MODELS:
        path(name).write_text(text(name), encoding="utf-8")


if __name__ == "__main__":
    main()
