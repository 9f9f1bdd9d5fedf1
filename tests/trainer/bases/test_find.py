"""What is known of a base model before it is loaded."""

from __future__ import annotations

from pathlib import Path

import pytest

from trainer.bases.find import CONFIGS, Source, find, native_side
from trainer.plans.base import BasePlan


@pytest.mark.parametrize(("family", "side"), [("sd1", 512), ("sdxl", 1024)])
def test_pictures_have_the_size_that_the_family_was_made_for(family: str, side: int) -> None:
    source = Source(family, CONFIGS / family, None, None, "epsilon", False)  # type: ignore[arg-type]
    assert native_side(source) == side


def test_the_micro_base_draws_64_pixels(assets: Path) -> None:
    assert native_side(find(BasePlan(path=assets / "micro-sd"))) == 64
