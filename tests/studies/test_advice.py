"""Rules of thumb and the calculator, by hand."""

import pytest

from studies.advice import propose, rules
from studies.amount import Amount


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
