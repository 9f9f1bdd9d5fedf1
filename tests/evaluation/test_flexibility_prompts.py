"""Which prompts are outside a data set."""

from __future__ import annotations

import pytest

from evaluation.flexibility_prompts import LISTS, ROLES, THINGS, among, outside


def test_prompts_whose_subject_a_caption_names_are_left_out() -> None:
    prompts = ("red heart, noto style", "bell, firefox style", "a sun", "tiger, noto style")
    captions = ["fluentflat, Red Heart", "A sun", "tigers"]
    assert outside(prompts, captions, 9) == ("bell, firefox style", "tiger, noto style")
    assert outside(prompts, captions, 1) == ("bell, firefox style",)
    assert outside(prompts, captions, 0) == ()


def test_scenes_of_the_subject_and_other_prompts_take_turns() -> None:
    assert among(("{} in snow", "a drawing of {}"), "sks dog", ("a ship", "a cat", "a tree")) == (
        "sks dog in snow",
        "a ship",
        "a drawing of sks dog",
        "a cat",
        "a tree",
    )
    for scenes in (THINGS, ROLES):
        assert len(set(scenes)) == len(scenes) and all(scene.count("{}") == 1 for scene in scenes)


@pytest.mark.parametrize("name", LISTS)
def test_a_shipped_list_has_no_prompt_twice(name: str) -> None:
    assert len(set(LISTS[name])) == len(LISTS[name]) >= 8
