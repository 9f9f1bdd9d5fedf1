from __future__ import annotations

import pytest

from studies.commands.subject_of import subject_of


@pytest.mark.parametrize(
    ("captions", "kind"),
    [
        (["1girl, solo, red hair", "1girl, miko, sitting", "1girl, smile"], "character"),
        (["ohwx woman in a park", "photo of ohwx woman", "a smiling ohwx woman, beach"], "person"),
        (["a photo of sks dog", "sks dog on a chair", "sks, a small dog"], "object"),
        (["red heart, noto style", "drum, noto style", "tiger, noto style"], "style"),
        (["wtrclr, a boat", "wtrclr, two cats", "wtrclr, a house by the sea"], "style"),
        (["a man walking", "a tree", "a boat at sea"], "style"),
        (["", ""], "style"),
        ([], "style"),
    ],
)
def test_what_pictures_are_of_by_their_captions(captions: list[str], kind: str) -> None:
    found = subject_of(captions)
    assert found.kind == kind
    assert found.reason
