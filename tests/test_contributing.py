"""The examples of CONTRIBUTING.md, applied to a copy of the source: nothing else has to be edited."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
EXAMPLE = re.compile(r"^```diff\n(.*?)^```", re.MULTILINE | re.DOTALL)
COPIED = ("search", "trainer", "evaluation", "studies", "tests", "tools")
ASSETS = Path("studies/library/assets")
RUN = (
    "tests/evaluation/metrics/test_brightness.py",
    "tests/evaluation/metrics/test_table.py::test_every_row_says_what_it_needs_and_means",
    "tests/trainer/training/test_losses.py",
    "tests/studies/text/test_i18n.py::test_every_code_in_the_source_has_its_sentence",
    "tests/test_examples.py",
)
ASSERTED = '''
"""What the examples change beside their own tests."""

from evaluation.metrics.table import directions
from search.objective import weight_problems
from studies.engines.engine import too_hot
from studies.report import explanation
from studies.spec import plan_fields
from tools import parameters_md
from trainer.bases import find


def test_the_metric_can_be_weighed():
    assert weight_problems({"brightness": 1.0}, directions()) == []


def test_the_parameter_can_be_searched_and_is_listed():
    assert "noise.min_weight" in plan_fields.searchable()
    assert "| `noise.min_weight` |" in parameters_md.page()


def test_the_family_is_known_by_the_name_of_a_base():
    assert find.family_of("someone/wide-1").title == "Wide SD"


def test_the_reason_is_told():
    assert explanation.clause(too_hot(93)) == "the device is 93 °C hot, training waits"
'''


@pytest.fixture
def changed(tmp_path: Path) -> Path:
    """A copy of the source to which all examples were applied."""
    for folder in COPIED:
        shutil.copytree(
            ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__", ASSETS.name)
        )
    (tmp_path / ASSETS).symlink_to(ROOT / ASSETS)
    examples = "".join(EXAMPLE.findall((ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")))
    subprocess.run(["git", "apply", "-"], input=examples, text=True, cwd=tmp_path, check=True)
    (tmp_path / "tests/test_examples.py").write_text(ASSERTED, encoding="utf-8")
    return tmp_path


def test_the_examples_need_no_other_edit(changed: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *RUN],
        cwd=changed,
        env={**os.environ, "PYTHONPATH": str(changed)},
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
