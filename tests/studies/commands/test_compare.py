"""Studies side by side, against figures by hand."""

from __future__ import annotations

import math
import statistics
from dataclasses import replace
from typing import Any

import pytest

from evaluation.intervals import Estimate
from evaluation.scorecard import Measured, ScoreCard
from search.small_samples import widening
from studies.commands.compare import ComparedStudy, Used, compare, differences
from studies.errors import StudyError
from studies.selection.document import Selection, Winner
from studies.selection.rule import Rule
from studies.spec.guards import GuardsSection
from studies.spec.sections import ConfirmSection
from studies.workspace import flat

CELLS = [-0.10, -0.12, -0.08, -0.11, -0.09, -0.10]


def verdict(cells: list[float], clip: list[float] | None = None) -> Selection:
    """A choice whose test images gave these values."""
    found = Estimate(mean=statistics.mean(cells), standard_error=0.02)
    metrics = {"validation": Measured(difference=found, cells=tuple(cells))}
    if clip is not None:
        rise = Estimate(mean=statistics.mean(clip), standard_error=1.0)
        metrics["clip_image"] = Measured(difference=rise, cells=tuple(clip))
    test = ScoreCard(
        metrics=metrics,
        validation_by_timestep=(),
        training=None,
        broken=0,
        renders=0,
        prompt_of_render=(0, 1, 0, 1),
    )
    winner = Winner(
        trial=3,
        epoch=2,
        images_seen=80,
        rank=8,
        file="x",
        scores=test,
        objective=found,
        params={"lora.rank": 8},
    )
    rule = Rule(weights={"validation": 1.0}, guards=GuardsSection(), confirm=ConfirmSection(), units={})
    return Selection(
        name="x",
        seed=7,
        trials=4,
        rule=rule,
        winner=winner,
        test=test,
        shares_of_variance={},
        pareto=(),
        candidates=(winner,),
    )


def side(name: str, cells: list[float], **facts: Any) -> ComparedStudy:
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
    used = Used(trials=4, images=900, seconds=60.0, device_seconds=0.0)
    made = ComparedStudy(name, table, prints, 7, verdict(cells), used)
    return replace(made, **facts)


def test_the_same_images_are_compared_one_by_one() -> None:
    """What the images share cancels: a small steady lead is more than noise, though each error is large."""
    lead = [0.011, 0.010, 0.009, 0.012, 0.008, 0.010]
    found = compare([side("a", [c + x for c, x in zip(CELLS, lead, strict=True)]), side("b", CELLS)])
    (pair,) = found.pairs
    metric = pair.metrics["validation"]
    assert (pair.leader, pair.other, pair.same_test_images) == ("b", "a", True)
    assert metric.better_by == pytest.approx(0.01)
    assert metric.standard_error == pytest.approx(statistics.stdev(lead) / math.sqrt(6) * widening(6))
    assert metric.beyond_noise


def test_other_test_images_add_both_errors() -> None:
    better = [c - 0.01 for c in CELLS]
    found = compare([side("a", better), side("b", CELLS, seed=8)])
    metric = found.pairs[0].metrics["validation"]
    assert metric.standard_error == pytest.approx(math.hypot(0.02, 0.02))
    assert not metric.beyond_noise and not found.pairs[0].same_test_images


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"fingerprints": {"data set": "other", "base model": "b"}}, "the data set is not the same"),
        ({"fingerprints": {"data set": "d", "base model": "other"}}, "the base model is not the same"),
    ],
)
def test_other_images_or_another_base_cannot_be_compared(change: dict[str, Any], reason: str) -> None:
    found = compare([side("a", CELLS), side("b", CELLS, **change)])
    assert (found.comparable, found.reasons, found.pairs) == (False, (reason,), ())


def test_the_same_clip_may_lie_at_two_places() -> None:
    def judged(name: str, place: str, stamp: str) -> ComparedStudy:
        one = side(name, CELLS, fingerprints={"data set": "d", "base model": "b", "CLIP model": stamp})
        return replace(one, table={**one.table, "judge.clip": place})

    assert compare([judged("a", "/here", "c"), judged("b", "/there", "c")]).comparable
    found = compare([judged("a", "/here", "c"), judged("b", "/here", "changed")])
    assert found.reasons == ("the CLIP model is not the same",)


@pytest.mark.parametrize("name", ["judge.steps", "split.test", "plan.data.resolution", "confirm.timesteps"])
def test_other_judging_cannot_be_compared(name: str) -> None:
    other = side("b", CELLS)
    found = compare([side("a", CELLS), replace(other, table={**other.table, name: 99})])
    assert found.reasons == (f"judged differently: {name}",)


def test_what_is_searched_may_differ_and_is_shown_whole() -> None:
    other = side("b", CELLS)
    table = {**other.table, "search.space.lora.rank": {"choices": [16]}, "plan.lora.alpha": 1}
    sides = [side("a", CELLS), replace(other, table=table)]
    assert differences(sides) == {
        "search.space.lora.rank": [{"choices": [4, 8]}, {"choices": [16]}],
        "plan.lora.alpha": [None, 1],
    }
    assert compare(sides).comparable


def test_a_study_without_a_verdict_has_no_pair() -> None:
    found = compare([side("a", CELLS), side("b", CELLS, selection=None)])
    assert found.comparable and not found.pairs
    assert found.studies[1].winner is None


def test_renders_of_one_prompt_count_once() -> None:
    def with_clip(name: str, values: list[float]) -> ComparedStudy:
        return side(name, CELLS, selection=verdict(CELLS, values))

    found = compare([with_clip("a", [3.0, 1.0, 5.0, 1.0]), with_clip("b", [1.0, 1.0, 1.0, 1.0])])
    metric = found.pairs[0].metrics["clip_image"]
    assert metric.better_by == pytest.approx(1.5)
    assert metric.standard_error == pytest.approx(statistics.stdev([3.0, 0.0]) / math.sqrt(2) * widening(2))


def test_one_study_is_too_few() -> None:
    with pytest.raises(StudyError, match="at least two"):
        compare([side("a", CELLS)])
