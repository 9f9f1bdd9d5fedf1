"""Metrics that count must be measured."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest

from evaluation.flexibility_prompts import GENERAL, OBJECTS, PEOPLE
from studies.spec.sections import ConfirmSection, JudgeSection, cues, weight_needs
from studies.spec.study_file import StudySpec
from studies.spec.subjects import JUDGINGS
from tests.studies.spec.test_study_file import GOOD


@pytest.mark.parametrize(
    ("weights", "judge", "problem"),
    [
        ({"validation": 1.0}, {}, None),
        ({"clip_image": 1.0}, {}, "judge.clip"),
        ({"clip_image": 1.0}, {"image_encoder": "d"}, None),
        ({"clip_image": 1.0, "clip_text": 1.0}, {"image_encoder": "d"}, "weighs clip_text, but judge.clip"),
        ({"clip_image": 0.0}, {}, None),
        ({"diversity": 1.0}, {"clip": "c"}, "judge.seeds_per_prompt of at least 2, but got 1"),
        ({"diversity": 1.0}, {"clip": "c", "seeds_per_prompt": 2}, None),
        ({"flexibility": 1.0}, {"clip": "c"}, None),
        ({"flexibility": 1.0}, {"clip": "c", "outside_prompt_count": 0}, "judge.outside_prompt_count"),
        ({"memorisation": 1.0}, {"clip": "c"}, None),
    ],
)
def test_a_weighted_metric_needs_what_measures_it(
    weights: dict[str, float], judge: dict[str, Any], problem: str | None
) -> None:
    found = weight_needs(weights, JudgeSection(**judge), ConfirmSection())
    assert bool(found) == (problem is not None)
    assert problem is None or problem in found[0]


def test_finalists_are_measured_by_what_counts_too() -> None:
    judge, confirm = (
        JudgeSection(clip="c", seeds_per_prompt=2),
        {"seeds_per_prompt": 1, "outside_prompt_count": 0},
    )
    found = weight_needs({"diversity": 1.0, "flexibility": 1.0}, judge, ConfirmSection(**confirm))
    assert found == [
        "objective weighs diversity, which needs confirm.seeds_per_prompt of at least 2, but got 1.",
        "objective weighs flexibility, which needs confirm.outside_prompt_count of at least 1, but got 0.",
    ]


def test_prompts_come_from_the_study_file_or_a_shipped_list() -> None:
    assert cues(JudgeSection(outside_prompts="objects")) == OBJECTS
    assert cues(JudgeSection(outside_prompts=("a cat",))) == ("a cat",)


def test_the_subject_decides_on_weights_and_prompts_where_nothing_is_said() -> None:
    assert cues(JudgeSection()) == GENERAL
    assert cues(JudgeSection(subject="person")) == cues(JudgeSection(subject="character")) == PEOPLE
    assert cues(JudgeSection(subject="person", outside_prompts="general")) == GENERAL
    assert cues(JudgeSection(trigger="wtrclr")) == GENERAL
    called = cues(JudgeSection(subject="object", trigger="sks dog"))
    assert called[:2] == ("sks dog in deep snow", GENERAL[0])
    assert cues(JudgeSection(subject="object", trigger="sks dog", outside_prompts=("a cat",))) == ("a cat",)
    table = tomllib.loads(GOOD)
    table.pop("objective", None)
    for kind, judging in JUDGINGS.items():
        table["judge"] = {"subject": kind, "clip": "somewhere/clip"}
        assert StudySpec.model_validate(table).objective == judging.weights
    table["objective"] = {"clip_image": 2.0}
    assert StudySpec.model_validate(table).objective == {"clip_image": 2.0}
