"""One split for all trials of a study, however often it is opened."""

from __future__ import annotations

from pathlib import Path

import pytest

from studies.study import beginning


@pytest.mark.parametrize("folds", [0, 3])
def test_a_study_that_is_begun_again_or_reopened_has_the_same_split(
    small_study, tmp_path: Path, folds: int
) -> None:
    path = small_study()
    path.write_text(path.read_text().replace("folds = 0", f"folds = {folds}"))
    first = beginning.begin(path, tmp_path / "workspace").dataset
    for picture in (tmp_path / "images").glob("*/*.png"):
        picture.touch()
    again = beginning.begin(path, tmp_path / "workspace").dataset
    reopened = beginning.reopen(tmp_path / "workspace").dataset
    assert first.split == again.split == reopened.split
    assert first.folds == again.folds == reopened.folds
    assert first.together == again.together
