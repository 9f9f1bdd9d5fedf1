"""Rules of thumb and the calculator, by hand."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from studies.commands.rules_of_thumb import Amount, amount, amounts, propose, rules, span, written
from studies.spec.planner import Planner
from studies.study.preflight import examine
from trainer.bases.base_model import BaseModel
from trainer.data.dataset import Dataset
from trainer.data.encoded import Encoded
from trainer.outcome import EpochEnd
from trainer.plan import TrainingPlan
from trainer.training.pack import Pack


@pytest.mark.parametrize(
    ("images", "repeats", "batch", "steps"),
    [(12, 13, 1, 1560), (15, 10, 1, 1500), (25, 20, 2, 2500), (100, 40, 4, 10_000), (1, 150, 1, 1500)],
)
def test_the_proposal_is_the_smallest_that_follows_the_rules(
    images: int, repeats: int, batch: int, steps: int
) -> None:
    found = propose(images)
    assert (found.repeats, found.epochs, found.batch_size, found.steps) == (repeats, 10, batch, steps)
    assert found.steps >= max(1500, 100 * images)
    fewer = images * (repeats - 1) * 10 / batch
    assert fewer < max(1500, 100 * images)


def test_the_batch_can_be_asked_for() -> None:
    assert (propose(25, 1).repeats, propose(25, 5).repeats) == (10, 50)


def test_the_arithmetic_is_shown() -> None:
    text = "\n".join(propose(25).arithmetic)
    assert "the larger of 1,500 and 100 x 25 images = 2,500" in text
    assert "25 images x 20 repeats = 500 images seen, / batch 2 = 250 steps" in text
    assert "250 steps x 10 epochs = 2,500 steps, 5,000 images seen, 10 checkpoints" in text


def test_rules_say_what_is_planned_and_whether_it_is_enough() -> None:
    short = Amount(images_per_epoch=24, steps_per_epoch=12, epochs=10, repeats=2, batch_size=2)
    found = {rule.rule: (rule.planned, rule.met) for rule in rules(12, short, 2)}
    assert found == {
        "at least 10 images": ("12", True),
        "at least 100 steps an image": ("10 (120 steps / 12 images)", False),
        "at least 1,500 steps in all": ("120", False),
        "batch 1 for 10 to 15 images": ("up to 2", False),
    }
    enough = Amount(images_per_epoch=400, steps_per_epoch=400, epochs=10, repeats=10, batch_size=1)
    assert [rule.met for rule in rules(40, enough, 1)] == [True, True, True]


@pytest.mark.parametrize("accumulation", [1, 2])
def test_the_count_is_what_a_training_takes(
    tiny_base: Callable[..., BaseModel],
    few_dataset: Dataset,
    encode: Callable[[Dataset, BaseModel], Encoded],
    make_plan: Callable[..., TrainingPlan],
    accumulation: int,
) -> None:
    plan = make_plan(rank=1, batch_size=2, epochs=2, repeats=1, gradient_accumulation=accumulation)
    base = tiny_base()
    pack = Pack(base, encode(few_dataset, base), 1, plan.compute)
    pack.admit(0, plan)
    ends: list[EpochEnd] = []
    while len(ends) < 2:
        ends += [event for event in pack.step() if isinstance(event, EpochEnd)]
    found = amount(plan, few_dataset)
    assert (found.steps, found.images, found.epochs) == (ends[-1].steps, ends[-1].images_seen, 2)
    assert ends[-1].last


def test_a_study_spans_all_rhythms_of_its_space(small_study) -> None:
    spec, dataset = examine(small_study(images=32))
    found = amounts(Planner(spec, dataset, 0))
    train = len(dataset.split.train)
    assert len(found) == 4
    assert span(found, lambda one: one.images_per_epoch) == (train, 2 * train)
    assert span(found, lambda one: one.epochs) == (32 // (2 * train), 32 // train)
    assert span(found, lambda one: one.batch_size) == (1, 2)


def test_spans_are_written_short() -> None:
    assert (written((3, 3)), written((3, 1200))) == ("3", "3 to 1,200")
    assert Amount(6, 3, 2, 1, 2).steps == 6
