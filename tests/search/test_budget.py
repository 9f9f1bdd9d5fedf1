from typing import Any

import pytest

from search.budget import Budget, Spending, spent
from tests.words import sentence_of


@pytest.mark.parametrize(
    ("budget", "used", "sentence"),
    [
        (Budget(trials=3), (3, 0, 0.0), "The budget of 3 trials is spent."),
        (Budget(images=100), (1, 120, 0.0), "The budget of 100 training images is spent (120 seen)."),
        (Budget(minutes=1.5), (1, 0, 90.0), "The budget of 1.5 minutes is spent (1.5 used)."),
        (Budget(gpu_seconds=8), (1, 0, 1.0, 9.0), "The budget of 8 GPU-seconds is spent (9 used)."),
    ],
)
def test_a_spent_budget_says_which(budget: Budget, used: tuple[Any, ...], sentence: str) -> None:
    assert sentence_of(spent(budget, Spending(*used))) == sentence


def test_nothing_is_said_while_every_limit_is_unreached() -> None:
    assert spent(Budget(trials=3, images=100, minutes=1, gpu_seconds=9), Spending(2, 99, 59.9, 8.9)) is None


def test_trials_and_images_say_how_many_whole_trials_can_be_paid() -> None:
    assert Budget(trials=5).whole_trials(100) == 5
    assert Budget(images=450).whole_trials(100) == 5
    assert Budget(trials=5, images=300).whole_trials(100) == 3
    assert Budget(minutes=5).whole_trials(100) is None


def test_a_budget_needs_a_limit_and_tells_all_its_problems() -> None:
    with pytest.raises(
        ValueError, match="budget needs at least one of: trials, images, minutes, gpu_seconds"
    ):
        Budget()
    with pytest.raises(ValueError) as raised:
        Budget(trials=0, minutes=-1)
    assert "budget.trials must be above 0, but got 0." in str(raised.value)
    assert "budget.minutes must be above 0, but got -1.0." in str(raised.value)
