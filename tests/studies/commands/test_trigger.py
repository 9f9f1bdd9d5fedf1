"""The trigger word is found wherever it stands."""

from __future__ import annotations

import pytest

from studies.commands.trigger import Place, trigger


@pytest.mark.parametrize(
    ("captions", "words", "place", "count"),
    [
        (["sks, a", "sks, b", "cat"], "sks", "first", 2),
        (["red hair, mycat", "smile, mycat", "mycat"], "mycat", "last", 3),
        (["a photo of ohwx dog", "ohwx dog in a park", "the ohwx dog runs"], "ohwx", "inside", 3),
        (["girl, xyz style, hat", "boy, xyz style", "cat, xyz style, red, big"], "xyz", "inside", 3),
    ],
)
def test_it_is_told_with_its_place_and_share(
    captions: list[str], words: str, place: Place, count: int
) -> None:
    found = trigger(captions)
    assert found is not None
    assert (found.words, found.place, found.captions) == (words, place, count)


@pytest.mark.parametrize(
    "captions",
    [
        [],
        ["a", "b", "c"],
        ["", "", "x"],
        ["x" * 61] * 3,
        ["a girl in white", "a girl with a hat", "the girl and a photo"],
        ["ohwx dog", "a cat", "a bird"],
    ],
)
def test_what_stands_everywhere_or_nowhere_is_none(captions: list[str]) -> None:
    assert trigger(captions) is None
