"""Which prompts are outside a data set."""

from __future__ import annotations

import pytest

from evaluation.flexibility_prompts import LISTS, outside


def test_prompts_whose_subject_a_caption_names_are_left_out() -> None:
    prompts = ("red heart, noto style", "bell, firefox style", "a sun", "tiger, noto style")
    captions = ["fluentflat, Red Heart", "A sun", "tigers"]
    assert outside(prompts, captions, 9) == ("bell, firefox style", "tiger, noto style")
    assert outside(prompts, captions, 1) == ("bell, firefox style",)
    assert outside(prompts, captions, 0) == ()


@pytest.mark.parametrize("name", LISTS)
def test_a_shipped_list_has_no_prompt_twice(name: str) -> None:
    assert len(set(LISTS[name])) == len(LISTS[name]) >= 8
