from __future__ import annotations

from pathlib import Path

import pytest

from search.memory import Memory
from search.outlook import OUTLOOK
from studies.report import foresight
from studies.spec import study_file
from tests.studies.spec.test_study_file import GOOD


@pytest.mark.parametrize(
    ("line", "instead", "said"),
    [
        (
            "[search.space]",
            '[search]\npruner = { name = "forecast" }\n[search.space]',
            "a trial ends when its chance",
        ),
        (
            "[search.space]",
            '[search]\ncounts = "forecast"\n[search.space]',
            "the sampler learns from the optima",
        ),
        ("[budget]", "[budget]\nuntil_gain_below = 0.01", "expected to gain less than 0.01"),
    ],
)
def test_each_use_is_told_where_the_study_file_asks_for_it(line: str, instead: str, said: str) -> None:
    told = foresight.uses(study_file.parse(GOOD.replace(line, instead), Path("/data")))
    assert told.startswith("By the learning curves of all trials together: ") and said in told
    assert ";" not in told


def test_nothing_is_told_of_a_study_that_forecasts_nothing(tmp_path: Path) -> None:
    assert foresight.uses(study_file.parse(GOOD, Path("/data"))) == ""
    memory = Memory.open(f"sqlite:///{tmp_path}/study.db", "study", tmp_path / "artifacts")
    assert foresight.outlook(memory) == ""


def test_the_latest_outlook_is_one_sentence(tmp_path: Path) -> None:
    memory = Memory.open(f"sqlite:///{tmp_path}/study.db", "study", tmp_path / "artifacts")
    figures = {"gain": 0.0123, "trial": 4, "images": 520, "best": 0.9, "low": 0.85, "high": 0.96}
    memory.remember(OUTLOOK, {"ended": 9, **figures})
    assert foresight.outlook(memory) == (
        "After 9 trials, 0.900 (0.850 to 0.960) is forecast for trial 4, best at 520 images seen, and one more trial "
        "is expected to add 0.0123."
    )
