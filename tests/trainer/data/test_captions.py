"""Shuffled captions keep their tags."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from trainer.data.captions import shuffled

TAGS = st.lists(st.text("abc ", min_size=1).map(str.strip).filter(bool), min_size=1, max_size=8)


@given(tags=TAGS, keep=st.integers(0, 9), seed=st.integers(0, 99), presentation=st.integers(0, 99))
def test_no_tag_is_lost_and_the_first_stay(tags: list[str], keep: int, seed: int, presentation: int) -> None:
    found = shuffled(", ".join(tags), keep, seed, presentation).split(", ")
    assert sorted(found) == sorted(tags)
    assert found[:keep] == tags[:keep]


def test_the_order_changes_with_the_presentation_and_repeats_with_it() -> None:
    caption = "trigger, a, b, c, d, e, f"
    orders = {shuffled(caption, 1, 0, presentation) for presentation in range(20)}
    assert len(orders) > 15
    assert shuffled(caption, 1, 0, 3) == shuffled(caption, 1, 0, 3)
