"""What ``judge`` takes for granted."""

from __future__ import annotations

from pathlib import Path

import pytest

from studies.commands.judge import own_size
from studies.selection.file_judge import rows_for
from trainer.bases.find import CONFIGS, Source, find
from trainer.plans.base import BasePlan


@pytest.mark.parametrize(("family", "side"), [("sd1", 512), ("sdxl", 1024)])
def test_pictures_have_the_size_that_the_family_was_made_for(family: str, side: int) -> None:
    source = Source(family, CONFIGS / family, None, None, "epsilon", False)  # type: ignore[arg-type]
    assert own_size(source) == side


def test_the_micro_base_draws_64_pixels(assets: Path) -> None:
    assert own_size(find(BasePlan(path=assets / "micro-sd"))) == 64


def test_large_pictures_are_drawn_few_at_a_time() -> None:
    assert [rows_for(side) for side in (64, 512, 768, 1024, 2048)] == [64, 16, 7, 4, 2]
