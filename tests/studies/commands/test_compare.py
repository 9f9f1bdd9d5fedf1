"""Studies side by side, against figures by hand."""

from __future__ import annotations

import math
import statistics
from dataclasses import replace
from typing import Any

import pytest

from search.small_samples import widening
from studies.commands.compare import Side, compare, differences, flat
from studies.errors import StudyError

CELLS = [-0.10, -0.12, -0.08, -0.11, -0.09, -0.10]


def verdict(cells: list[float]) -> dict[str, Any]:
    estimate = {"mean": statistics.mean(cells), "standard_error": 0.02}
    chosen = {"trial": 3, "epoch": 2, "images_seen": 80, "params": {"lora.rank": 8}, "file": "x"}
    return {"winner": chosen, "test": {"validation": estimate, "validation_by_image": cells}}


def side(name: str, cells: list[float], **facts: Any) -> Side:
    table = flat(
        {
            "study": {"name": name},
            "judge": {"steps": 12},
            "split": {"test": 0.15},
            "plan": {"data": {"resolution": 64}},
            "search": {"space": {"lora.rank": {"choices": [4, 8]}}},
        }
    )
    prints = {"data set": "d", "base model": "b"}
    made = Side(name, table, prints, 7, verdict(cells), {"trials": 4.0, "images": 900.0, "seconds": 60.0})
    return replace(made, **facts)


def test_the_same_images_are_compared_one_by_one() -> None:
    """What the images share cancels: a small steady lead is more than noise, though each error is large."""
    lead = [0.011, 0.010, 0.009, 0.012, 0.008, 0.010]
    found = compare([side("a", [c + x for c, x in zip(CELLS, lead, strict=True)]), side("b", CELLS)])
    (pair,) = found["pairs"]
    metric = pair["metrics"]["validation"]
    assert (pair["leader"], pair["other"], pair["same_test_images"]) == ("b", "a", True)
    assert metric["better_by"] == pytest.approx(0.01)
    assert metric["standard_error"] == pytest.approx(statistics.stdev(lead) / math.sqrt(6) * widening(6))
    assert metric["beyond_noise"]


def test_other_test_images_add_both_errors() -> None:
    better = [c - 0.01 for c in CELLS]
    found = compare([side("a", better), side("b", CELLS, seed=8)])
    metric = found["pairs"][0]["metrics"]["validation"]
    assert metric["standard_error"] == pytest.approx(math.hypot(0.02, 0.02))
    assert not metric["beyond_noise"] and not found["pairs"][0]["same_test_images"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"fingerprints": {"data set": "other", "base model": "b"}}, "the data set is not the same"),
        ({"fingerprints": {"data set": "d", "base model": "other"}}, "the base model is not the same"),
    ],
)
def test_other_images_or_another_base_cannot_be_compared(change: dict[str, Any], reason: str) -> None:
    found = compare([side("a", CELLS), side("b", CELLS, **change)])
    assert (found["comparable"], found["reasons"], found["pairs"]) == (False, [reason], [])


def test_the_same_clip_may_lie_at_two_places() -> None:
    def judged(name: str, place: str, stamp: str) -> Side:
        one = side(name, CELLS, fingerprints={"data set": "d", "base model": "b", "CLIP model": stamp})
        return replace(one, table={**one.table, "judge.clip": place})

    assert compare([judged("a", "/here", "c"), judged("b", "/there", "c")])["comparable"]
    found = compare([judged("a", "/here", "c"), judged("b", "/here", "changed")])
    assert found["reasons"] == ["the CLIP model is not the same"]


@pytest.mark.parametrize("name", ["judge.steps", "split.test", "plan.data.resolution", "confirm.timesteps"])
def test_other_judging_cannot_be_compared(name: str) -> None:
    other = side("b", CELLS)
    found = compare([side("a", CELLS), replace(other, table={**other.table, name: 99})])
    assert found["reasons"] == [f"judged differently: {name}"]


def test_what_is_searched_may_differ_and_is_shown_whole() -> None:
    other = side("b", CELLS)
    table = {**other.table, "search.space.lora.rank": {"choices": [16]}, "plan.lora.alpha": 1}
    sides = [side("a", CELLS), replace(other, table=table)]
    assert differences(sides) == {
        "search.space.lora.rank": [{"choices": [4, 8]}, {"choices": [16]}],
        "plan.lora.alpha": [None, 1],
    }
    assert compare(sides)["comparable"]


def test_a_study_without_a_verdict_has_no_pair() -> None:
    found = compare([side("a", CELLS), side("b", CELLS, verdict=None)])
    assert found["comparable"] and not found["pairs"]
    assert found["studies"][1]["winner"] is None


def test_renders_of_one_prompt_count_once() -> None:
    def with_clip(name: str, values: list[float]) -> Side:
        made = verdict(CELLS)
        made["test"] |= {
            "clip_image": {"mean": statistics.mean(values), "standard_error": 1.0},
            "clip_image_by_prompt": values,
            "prompt_of_render": [0, 1, 0, 1],
        }
        return side(name, CELLS, verdict=made)

    found = compare([with_clip("a", [3.0, 1.0, 5.0, 1.0]), with_clip("b", [1.0, 1.0, 1.0, 1.0])])
    metric = found["pairs"][0]["metrics"]["clip_image"]
    assert metric["better_by"] == pytest.approx(1.5)
    assert metric["standard_error"] == pytest.approx(
        statistics.stdev([3.0, 0.0]) / math.sqrt(2) * widening(2)
    )


def test_one_study_is_too_few() -> None:
    with pytest.raises(StudyError, match="at least two"):
        compare([side("a", CELLS)])
