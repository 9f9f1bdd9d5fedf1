"""Steps and images counted beforehand, beside what a training takes."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from studies.amount import Amount, amount, amounts, span, written
from studies.planning import Planner
from studies.study import examine
from trainer.base_model import BaseModel
from trainer.data.dataset import Dataset, Encoded
from trainer.outcome import EpochEnd
from trainer.pack import Pack
from trainer.plan import TrainingPlan


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
