from __future__ import annotations

import pytest

from studies.commands.subject_of import subject_of

CALLED = {"character": ("",), "person": ("ohwx woman",), "object": ("sks dog",)}


@pytest.mark.parametrize(
    ("captions", "kind"),
    [
        (["1girl, solo, red hair", "1girl, miko, sitting", "1girl, smile"], "character"),
        (["ohwx woman in a park", "photo of ohwx woman", "a smiling ohwx woman, beach"], "person"),
        (["a photo of sks dog", "sks dog on a chair", "sks, a small dog"], "object"),
        (["red heart, noto style", "drum, noto style", "tiger, noto style"], "style"),
        (["wtrclr, a boat", "wtrclr, two cats", "wtrclr, a house by the sea"], "style"),
        (["sks style, 1girl, running", "sks style, 1girl, beach", "sks style, 1girl, rain"], "style"),
        (["wtrclr, a cat in a box", "wtrclr, a house in snow", "wtrclr, a man in a hat"], "style"),
        (["wtrclr painting of a cat", "wtrclr painting of a ship", "wtrclr painting of a tree"], "style"),
        (["wtrclr, a cat with a hat", "wtrclr, a house with a door", "wtrclr, trees with snow"], "style"),
        (["a man walking", "a tree", "a boat at sea"], "style"),
        (["", ""], "style"),
        ([], "style"),
    ],
)
def test_what_pictures_are_of_by_their_captions(captions: list[str], kind: str) -> None:
    found = subject_of(captions)
    assert found.kind == kind
    assert found.reason
    assert found.called in CALLED.get(kind, ("",))
