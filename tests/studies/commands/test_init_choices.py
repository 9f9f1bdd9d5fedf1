"""Choices of a first study file, by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from studies.commands import init_choices
from studies.commands.init_choices import Ground
from studies.commands.survey import Survey
from trainer.bases.families import FAMILIES


def survey(count: int, side: int = 600, **facts: object) -> Survey:
    found = Survey(
        folder=Path("/images/cat"),
        flat=False,
        images=count + 6,
        cards=count,
        train=count,
        sizes=((side, side),) * (count + 6),
        captions=("sks, dog",) * (count + 6),
        captioned=count + 6,
        held_out=("sks, dog",),
        warnings=(),
    )
    return replace(found, **facts)  # type: ignore[arg-type]


SD1 = Ground("/sd15", FAMILIES["sd1"], 512, 64, cuda=True)
SDXL = Ground("/sdxl", FAMILIES["sdxl"], 1024, 32, cuda=True)


@pytest.mark.parametrize(
    ("train", "repeats", "horizon", "batches"),
    [(10, 15, 1500, (1,)), (15, 10, 1500, (1,)), (16, 10, 1600, (1, 2)), (42, 10, 4200, (1, 2, 4))],
)
def test_repeats_and_horizon_follow_the_guides(
    train: int, repeats: int, horizon: int, batches: tuple[int, ...]
) -> None:
    """At least 100 steps an image and 1,500 in all over ten epochs of batch 1, computed by hand."""
    found = survey(train)
    lines = {
        line.key: line.value for line in init_choices.data(found, SD1, init_choices.Line("folder", "x", ""))
    }
    assert (lines["repeats"], init_choices.images_per_trial(found)) == (repeats, horizon)
    assert init_choices.batches(found) == batches


@pytest.mark.parametrize(
    ("ground", "side", "expected"),
    [
        (SD1, 900, 512),
        (SD1, 420, 512),
        (SD1, 400, 384),
        (SD1, 100, 256),
        (SDXL, 1500, 1024),
        (SDXL, 700, 672),
    ],
)
def test_the_training_size_is_the_familys_unless_images_are_smaller(
    ground: Ground, side: int, expected: int
) -> None:
    assert init_choices.resolution(survey(20, side), ground).value == expected


def test_buckets_are_for_images_that_are_not_square() -> None:
    place = init_choices.Line("folder", "x", "")

    def lines(found: Survey) -> dict[str, object]:
        return {line.key: line.value for line in init_choices.data(found, SDXL, place)}

    assert lines(survey(20, 1100))["enable_bucket"] is False
    mixed = lines(survey(20, 1100, sizes=((1200, 1600),) * 26))
    assert mixed["enable_bucket"] is True
    assert (mixed["min_bucket_reso"], mixed["max_bucket_reso"]) == (512, 2048)


def test_tag_lists_are_shuffled_behind_the_trigger_and_sentences_are_not() -> None:
    place = init_choices.Line("folder", "x", "")
    tagged = survey(20, captions=("sks, girl, smile, park, hat",) * 26)
    keys = [line.key for line in init_choices.data(tagged, SD1, place)]
    assert "keep_tokens" in keys and "keep_tokens" not in [
        line.key for line in init_choices.data(survey(20), SD1, place)
    ]


def test_the_machine_decides_precision_and_eight_bit_optimisers() -> None:
    cpu = replace(SD1, cuda=False)
    assert [line.value for line in init_choices.compute(cpu)] == ["no"]
    assert [line.value for line in init_choices.compute(SD1)] == ["bf16", "auto"]
    chosen = {g: init_choices.space(survey(20), g)[0].value["choices"][0] for g in (cpu, SD1)}
    assert chosen == {cpu: "adamw", SD1: "adamw8bit"}
