from __future__ import annotations

from pathlib import Path

import pytest

from tools import gpu_md
from trainer.footprint.fitting import Fit, Setting

PAGE = Path(__file__).resolve().parents[2] / "docs" / "gpu.md"


@pytest.mark.parametrize(
    ("setting", "offload", "said"),
    [
        (Setting(512, "auto", False), False, "3 (as it is)"),
        (Setting(512, "auto", True), True, "3 (checkpointing, offload)"),
        (Setting(512, "nf4", False), True, "3 (nf4, offload)"),
    ],
)
def test_a_cell_says_what_was_given_up(setting: Setting, offload: bool, said: str) -> None:
    assert gpu_md.cell(Fit(setting, offload, 3, "training", 0)) == said


@pytest.mark.slow
def test_the_page_is_in_step_with_the_forecast() -> None:
    assert PAGE.read_text(encoding="utf-8") == gpu_md.page()
