"""Searches whose objective is known: a parabola over learning rate times images seen, highest at 10^-3.5 times 400."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import optuna
import pytest

from search.driver import Driver
from search.outlook import FORECAST, OUTLOOK, Imagined
from search.trial import Finished, Point, Pruned
from tests.search.conftest import Study
from tests.words import sentence_of

HORIZON = 1000
FORECASTING: dict[str, Any] = {
    "sampler": "tpe",
    "pruner": {"name": "forecast", "min_images": 100},
    "counts": "forecast",
    "budget": {"trials": 12},
    "horizon_images": HORIZON,
}


def objective(rate: float, images: int) -> float:
    return 1.0 - (math.log10(rate * images) - math.log10(10**-3.5 * 400)) ** 2 / 4


def trained(driver: Driver, trials: int | None = None) -> list[dict[str, Any]]:
    """Trains one trial after the other; their values."""
    asked: list[dict[str, Any]] = []
    while len(asked) != trials and (proposal := driver.ask()) is not None:
        asked.append(proposal.values)
        number, verdict = proposal.number, "continue"
        for epoch in range(1, 6):
            images = 200 * epoch
            point = Point(images, objective(float(proposal.values["optimiser.unet_lr"]), images))
            verdict = driver.report(number, {"epoch": epoch}, point)
            if verdict != "continue":
                break
        driver.tell(number, Pruned() if verdict == "prune" else Finished())
    return asked


def attributes(study: Study, number: int) -> dict[str, Any]:
    return (
        optuna.load_study(study_name="study", storage=f"sqlite:///{study.folder}/study.db")
        .trials[number]
        .user_attrs
    )


def test_a_trial_ends_with_its_forecast_and_says_why_it_was_ended(study: Study) -> None:
    driver = study.driver(**FORECASTING)
    trained(driver)
    found = attributes(study, 11)[FORECAST]
    assert found["low"] <= found["best"] <= found["high"] and 200 <= found["images_seen"] <= HORIZON
    why = [sentence_of(r.reason) for r in driver.records() if r.state == "pruned" and r.reason]
    assert why and all("a chance of" in text and "is forecast for it" in text for text in why)
    outlook = study.memory().recall(OUTLOOK)
    assert outlook["ended"] == 12 and outlook["gain"] >= 0


def test_an_interruption_changes_neither_forecasts_nor_proposals(new_study: Callable[[], Study]) -> None:
    whole, broken = new_study(), new_study()
    expected = trained(whole.driver(**FORECASTING))
    found = trained(broken.driver(**FORECASTING), 5) + trained(broken.driver(**FORECASTING))
    assert found == expected
    assert attributes(broken, 11)[FORECAST] == attributes(whole, 11)[FORECAST]


def test_the_search_ends_when_one_more_trial_would_gain_too_little(study: Study) -> None:
    driver = study.driver(
        sampler="random", budget={"trials": 40}, patience={"gain": 0.02}, horizon_images=HORIZON
    )
    asked = trained(driver)
    assert 14 <= len(asked) < 40  # never before a third
    assert "less than the 0.02 of budget.until_gain_below" in sentence_of(driver.spent)
    best = max(point.objective for record in driver.records() for point in record.curve)
    assert best > 0.95


def test_nothing_is_forecast_where_nothing_asks_for_it(study: Study) -> None:
    trained(study.driver(horizon_images=HORIZON))
    assert FORECAST not in attributes(study, 4) and study.memory().recall(OUTLOOK) is None


def test_imagined_trials_lie_in_the_space_and_near_ones_keep_most_values(study: Study) -> None:
    near = {"optimiser.unet_lr": 1e-4, "lora.rank": 16, "lora.conv": True, "lora.conv_rank": 8}
    for seed in range(50):
        values = study.space.suggest(Imagined(seed, {}))
        assert not study.space.problems(values)
    kept = [study.space.suggest(Imagined(seed, near)) == near for seed in range(200)]
    assert 0.2 < sum(kept) / 200 < 0.45  # 0.75 to the fourth is 0.32


@pytest.mark.parametrize("log", [False, True])
def test_imagined_numbers_are_uniform_on_their_scale(log: bool) -> None:
    drawn = [Imagined(seed, {}).suggest_float("x", 1e-4, 1.0, log=log) for seed in range(400)]
    middle = 1e-2 if log else 0.5
    assert 0.42 < sum(value < middle for value in drawn) / 400 < 0.58
