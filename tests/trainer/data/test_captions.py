"""Shuffled captions keep their tags; dropout is nested and leaves kept tags alone."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.data.captions import spoken, tags_of
from trainer.data.folders import NO_RULES, CaptionRules
from trainer.plans.data import DataPlan

TAGS = st.lists(st.text("abc ", min_size=1).map(str.strip).filter(bool), min_size=1, max_size=8)
TAGGED = "trigger, a, b, c, d, e, f"


def shuffled(caption: str, keep: int, seed: int, presentation: int) -> str:
    return spoken(caption, CaptionRules(shuffle=True, keep_tokens=keep), plan(), seed, presentation)


def plan(**fields: Any) -> DataPlan:
    return DataPlan(folder=".", **fields)  # type: ignore[arg-type]


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


def test_without_rules_a_caption_is_spoken_as_written() -> None:
    assert spoken("a,b ,, c", NO_RULES, plan(), 0, 3) == "a,b ,, c"


@pytest.mark.parametrize("rate", [0.1, 0.5])
def test_a_share_of_presentations_is_silent(rate: float) -> None:
    heard = [spoken(TAGGED, NO_RULES, plan(caption_dropout=rate), 0, p) for p in range(2000)]
    assert set(heard) == {"", TAGGED}
    assert heard.count("") / 2000 == pytest.approx(rate, abs=0.03)


def test_silent_always_and_never() -> None:
    assert spoken(TAGGED, NO_RULES, plan(caption_dropout=1.0), 0, 5) == ""
    silent = CaptionRules(caption_dropout=0.0)
    assert spoken(TAGGED, silent, plan(caption_dropout=1.0), 0, 5) == TAGGED


def test_a_smaller_rate_drops_a_part_of_what_a_larger_one_drops() -> None:
    for p in range(200):
        few, many = (
            spoken(TAGGED, NO_RULES, plan(tag_dropout=rate, keep_tokens=1), 0, p).split(", ")
            for rate in (0.2, 0.6)
        )
        assert set(many) <= set(few)
        less, more = (spoken(TAGGED, NO_RULES, plan(caption_dropout=rate), 0, p) for rate in (0.2, 0.6))
        assert less or not more


def test_every_tag_but_the_kept_is_dropped_at_the_given_rate() -> None:
    rule = plan(tag_dropout=0.3, keep_tokens=2)
    heard = [spoken(TAGGED, NO_RULES, rule, 0, p).split(", ") for p in range(1500)]
    assert all(tags[:2] == ["trigger", "a"] for tags in heard)
    for tag in "bcdef":
        assert sum(tag in tags for tags in heard) / 1500 == pytest.approx(0.7, abs=0.04)


def test_tag_dropout_does_not_change_the_order_of_the_shuffle() -> None:
    for p in range(50):
        rules = CaptionRules(shuffle=True, keep_tokens=1)
        whole = spoken(TAGGED, rules, plan(), 0, p).split(", ")
        thinned = spoken(TAGGED, rules, plan(tag_dropout=0.4), 0, p).split(", ")
        assert thinned == [tag for tag in whole if tag in thinned]


def test_a_concepts_rules_come_before_the_plans() -> None:
    shuffling = plan(shuffle_caption=True, keep_tokens=1)
    assert spoken(TAGGED, CaptionRules(shuffle=False), shuffling, 0, 3) == TAGGED
    assert spoken(TAGGED, CaptionRules(keep_tokens=6), shuffling, 0, 3) == TAGGED
    assert spoken(TAGGED, CaptionRules(tag_dropout=1.0, keep_tokens=3), plan(), 0, 3) == "trigger, a, b"


@pytest.mark.parametrize(
    ("caption", "parts"),
    [
        ("a, (b, c:1.3), d", ["a", "(b, c:1.3)", "d"]),
        ("[a, b], c", ["[a, b]", "c"]),
        ("((a, b), [c, d]:1.2), e", ["((a, b), [c, d]:1.2)", "e"]),
        (r"a \(b, c\), d", [r"a \(b", r"c\)", "d"]),
        ("(a, b", ["(a", "b"]),
        ("a), (b, c)", ["a)", "(b, c)"]),
        ("(a, [b), c], d", ["(a, [b), c]", "d"]),
    ],
)
def test_commas_inside_emphasis_do_not_separate(caption: str, parts: list[str]) -> None:
    assert [part.strip() for part in tags_of(caption)] == parts


def test_shuffling_keeps_emphasis_whole_where_brackets_mean_it() -> None:
    caption = "x, (a, b:1.3), [c, d], e"
    groups = {"x", "(a, b:1.3)", "[c, d]", "e"}
    rules = CaptionRules(shuffle=True, keep_tokens=0)
    for p in range(30):
        heard = spoken(caption, rules, plan(weighted_captions=True), 0, p)
        assert {part.strip() for part in tags_of(heard)} == groups
    torn = [spoken(caption, rules, plan(), 0, p) for p in range(30)]
    assert any("(a, b:1.3)" not in heard for heard in torn)
