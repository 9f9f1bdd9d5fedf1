"""What is counted in a folder of images."""

from __future__ import annotations

from pathlib import Path

from studies.commands.survey import survey


def test_the_demonstration_set_is_counted(demo_folder: Path) -> None:
    found = survey(demo_folder, 64, 7)
    assert (found.images, found.train, found.cards, found.captioned, found.flat) == (60, 42, 42, 60, False)
    assert (found.median_side, found.square, found.tagged) == (96, True, False)
    assert len(set(found.held_out)) == len(found.held_out) == 42 + 9, "none to test"
