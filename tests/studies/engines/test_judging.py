"""What judging LoRA files takes for granted."""

from __future__ import annotations

from studies.engines.judging import rows_for


def test_large_pictures_are_drawn_few_at_a_time() -> None:
    assert [rows_for(side) for side in (64, 512, 768, 1024, 2048)] == [64, 16, 7, 4, 2]
