from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import optuna
import pytest

from search.driver import Driver
from search.parameter import SpaceError
from search.space import parse_space
from search.trial import Failed, Finished, Infeasible, Point, Proposal, Pruned, Reason
from tests.search.conftest import Study
from tests.words import sentence_of

ASHA = {"name": "asha", "min_images": 100}


def report(driver: Driver, number: int, epoch: int, images: int, objective: float) -> str:
    return driver.report(number, {"epoch": epoch}, Point(images, objective))


def intermediate(study: Study, number: int) -> dict[int, float]:
    loaded = optuna.load_study(study_name="study", storage=f"sqlite:///{study.folder}/study.db")
    return loaded.trials[number].intermediate_values


def asked(driver: Driver) -> list[Proposal]:
    proposals = []
    while (proposal := driver.ask()) is not None:
        proposals.append(proposal)
    return proposals


@pytest.mark.parametrize("sampler", ["random", "tpe"])
def test_an_interruption_changes_no_proposal(new_study: Callable[[], Study], sampler: str) -> None:
    whole, broken = new_study(), new_study()
    expected = asked(whole.driver(sampler=sampler))
    first = broken.driver(sampler=sampler)
    assert [first.ask(), first.ask()] == expected[:2]
    del first  # killed with two trials running
    found = asked(broken.driver(sampler=sampler))
    assert found[:2] == [replace(proposal, resumed=True) for proposal in expected[:2]]
    assert found[2:] == expected[2:]


def test_another_seed_gives_other_values(new_study: Callable[[], Study]) -> None:
    one, other = new_study(), new_study()
    other.seed = 8
    assert one.driver().ask() != other.driver().ask()


def test_trials_left_running_come_first_and_once_then_requeued_then_new(study: Study) -> None:
    before = study.driver()
    for _ in range(3):
        before.ask()
    before.tell(1, Failed(Reason.told("worker lost")))
    driver = study.driver()
    driver.requeue(2)  # still to be asked for: no second time
    order = [(p.number, p.resumed) for p in (driver.ask(), driver.ask()) if p]
    driver.requeue(0)
    order += [(p.number, p.resumed) for p in asked(driver)]
    assert order == [(0, True), (2, True), (0, True), (3, False), (4, False)]


def test_a_requeued_trial_keeps_its_values_even_when_the_budget_is_spent(study: Study) -> None:
    driver = study.driver(budget={"trials": 1})
    first = driver.ask()
    assert first is not None and driver.ask() is None
    driver.requeue(first.number)
    assert driver.ask() == replace(first, resumed=True)
    driver.tell(0, Infeasible(Reason.told("did not fit into memory")))
    with pytest.raises(ValueError, match="trial 0 is infeasible"):
        driver.requeue(0)


def test_recipes_are_tried_first_and_enqueued_once(study: Study) -> None:
    first = ({"lora.rank": 16, "lora.conv": False, "optimiser.unet_lr": 1e-4}, {"lora.rank": 32})
    driver = study.driver(first=first)
    proposal = driver.ask()
    assert proposal is not None and proposal.values == first[0]
    again = study.driver(first=first)
    numbers = [p.number for p in asked(again)]
    assert numbers == [0, 1, 2, 3, 4]
    assert again.records()[1].values["lora.rank"] == 32
    assert "optimiser.unet_lr" in again.records()[1].values
    assert [r.values["lora.rank"] for r in again.records()].count(16) == 1


def test_a_partial_recipe_leaves_the_other_values_as_they_would_have_been(
    new_study: Callable[[], Study],
) -> None:
    plain, seeded = new_study().driver().ask(), new_study().driver(first=({"lora.rank": 64},)).ask()
    assert plain is not None and seeded is not None
    assert seeded.values == plain.values | {"lora.rank": 64}


def test_wrong_recipes_are_all_told(study: Study) -> None:
    with pytest.raises(SpaceError) as raised:
        study.driver(first=({"lora.rank": 5}, {"lora.rnk": 8}))
    assert len(raised.value.problems) == 2
    assert raised.value.problems[0] == "first[0]: lora.rank must be 4 plus a multiple of 4, but got 5."
    assert study.memory().records() == []


def test_a_space_may_change_its_ranges_but_not_its_choices(study: Study) -> None:
    study.driver().ask()
    study.space = parse_space({"lora.rank": {"low": 4, "high": 8, "step": 4}, "new": {"low": 0, "high": 1}})
    study.driver()
    study.space = parse_space({"lora.conv": {"choices": ["no", "yes"]}})
    with pytest.raises(SpaceError, match=r"lora\.conv was a choice of false, true when the study began"):
        study.driver()


def test_trials_are_compared_at_equal_images_though_their_checkpoints_differ(study: Study) -> None:
    driver = study.driver(pruner=ASHA)
    for _ in range(2):
        driver.ask()
    verdicts = [report(driver, 0, e, 50 * e, 0.1 * e) for e in range(1, 9)]  # 50, 100, ... 400
    assert verdicts == ["continue"] * 8
    assert report(driver, 1, 1, 80, 0.5) == "continue"
    assert intermediate(study, 1) == {}
    assert report(driver, 1, 2, 320, 1.0) == "continue"
    # by hand: smoothed 0.5 at 80 and 0.7 * 1.0 + 0.3 * 0.5 = 0.85 at 320; on that line
    assert intermediate(study, 1) == {
        100: pytest.approx(0.5 + 0.35 * 20 / 240),
        300: pytest.approx(0.5 + 0.35 * 220 / 240),
    }
    assert list(intermediate(study, 0)) == [100, 300]
    assert intermediate(study, 0)[100] == pytest.approx(0.7 * 0.2 + 0.3 * 0.1)


def test_a_trial_that_falls_behind_is_pruned_and_stays_so(study: Study) -> None:
    driver = study.driver(pruner=ASHA)
    for _ in range(2):
        driver.ask()
    assert report(driver, 0, 1, 100, 1.0) == "continue"
    assert report(driver, 1, 1, 100, 0.9) == "prune"
    assert report(driver, 1, 1, 100, 0.9) == "prune"
    resumed = study.driver(pruner=ASHA)  # killed before the trial was told as pruned
    assert report(resumed, 1, 2, 200, 5.0) == "prune"
    resumed.tell(1, Pruned())
    assert resumed.records()[1].state == "pruned"


def test_a_repeated_report_changes_nothing(study: Study) -> None:
    driver = study.driver(pruner=ASHA)
    driver.ask()
    report(driver, 0, 1, 150, 0.5)
    before = (driver.records(), intermediate(study, 0))
    resumed = study.driver(pruner=ASHA)
    assert report(resumed, 0, 1, 150, 0.7) == "continue"
    assert (resumed.records(), intermediate(study, 0)) == before


def test_a_card_that_contradicts_its_point_is_refused(study: Study) -> None:
    driver = study.driver()
    driver.ask()
    with pytest.raises(ValueError, match="The card says images_seen=90, but the point says 100"):
        driver.report(0, {"epoch": 1, "images_seen": 90}, Point(100, 0.0))
    driver.report(0, {"epoch": 1, "objective": math.nan}, Point(100, math.nan))
    assert driver.records()[0].cards == ({"epoch": 1, "images_seen": 100, "objective": None},)


def test_a_finished_trial_is_told_the_best_of_its_smoothed_curve(study: Study) -> None:
    driver = study.driver()
    driver.ask()
    for epoch, objective in enumerate([0.0, 1.0, -1.0, math.nan], start=1):
        report(driver, 0, epoch, 100 * epoch, objective)
    driver.tell(0, Finished())
    loaded = optuna.load_study(study_name="study", storage=f"sqlite:///{study.folder}/study.db")
    assert loaded.best_value == pytest.approx(0.7)


def test_a_trial_without_any_finite_objective_is_infeasible(study: Study) -> None:
    driver = study.driver()
    driver.ask()
    assert report(driver, 0, 1, 100, math.nan) == "continue"
    driver.tell(0, Finished())
    assert driver.records()[0].state == "infeasible"
    assert sentence_of(driver.records()[0].reason) == "No checkpoint had a finite objective."


def test_the_budget_of_trials_counts_those_begun(study: Study) -> None:
    driver = study.driver(budget={"trials": 2}, first=({"lora.rank": 4},) * 3)
    assert len(asked(driver)) == 2
    assert sentence_of(driver.spent) == "The budget of 2 trials is spent."


def test_the_budget_of_images_survives_an_interruption(study: Study) -> None:
    changes: dict[str, Any] = {"budget": {"images": 500}}
    driver = study.driver(**changes)
    driver.ask()
    report(driver, 0, 1, 300, 0.0)
    driver.tell(0, Finished())
    assert driver.ask() is not None
    report(driver, 1, 1, 200, 0.0)
    resumed = study.driver(**changes)
    assert [p.number for p in asked(resumed)] == [1]
    assert sentence_of(resumed.spent) == "The budget of 500 training images is spent (500 seen)."


def test_the_budget_of_minutes_leaves_interruptions_out(study: Study) -> None:
    changes: dict[str, Any] = {"budget": {"minutes": 10}}
    driver = study.driver(**changes)
    driver.ask()
    study.clock.seconds = 400.0
    driver.tell(0, Finished())
    study.clock.seconds = 9_000.0  # the process was down
    resumed = study.driver(**changes)
    assert resumed.ask() is not None
    study.clock.seconds = 9_199.0
    assert resumed.spent is None
    study.clock.seconds = 9_200.0
    assert resumed.ask() is None
    assert sentence_of(resumed.spent) == "The budget of 10 minutes is spent (10.0 used)."


def test_a_whole_search_finds_a_good_learning_rate(study: Study) -> None:
    """A curve that peaks at a learning rate of 1e-3: trials far from it are pruned, the best is near."""
    driver = study.driver(sampler="tpe", pruner=ASHA, budget={"trials": 20})
    while (proposal := driver.ask()) is not None:
        rate = proposal.values["optimiser.unet_lr"]
        goal = -abs(math.log10(float(rate)) + 3)
        pruned = any(
            report(driver, proposal.number, e, 100 * e, goal * e / 10) == "prune" for e in range(1, 11)
        )
        driver.tell(proposal.number, Pruned() if pruned else Finished())
    states = [record.state for record in driver.records()]
    assert states.count("pruned") >= 5 and states.count("finished") >= 1


def test_a_trial_that_gains_no_more_is_finished_early_with_its_reason(study: Study) -> None:
    driver = study.driver(patience={"checkpoints": 2})
    driver.ask()
    said = [report(driver, 0, i + 1, 100 * (i + 1), value) for i, value in enumerate((1.0, 3.0, 1.0, 1.0))]
    assert said == ["continue", "continue", "continue", "finish"]
    driver.tell(0, Finished())
    record = driver.records()[0]
    assert record.state == "finished"
    assert "after 200 images" in sentence_of(record.reason)


def test_a_baseline_is_trained_to_its_end_whatever_becomes_of_it_and_other_recipes_are_not(
    study: Study,
) -> None:
    recipes = ({"lora.rank": 8}, {"lora.rank": 16}, {"lora.rank": 32})
    driver = study.driver(pruner=ASHA, patience={"checkpoints": 2}, first=recipes, baselines=2)
    for _ in range(4):
        driver.ask()
    falling = (0.9, 0.1, 0.1, 0.1)
    assert report(driver, 0, 1, 100, 1.0) == "continue"
    behind = [report(driver, 1, i + 1, 100 * (i + 1), value) for i, value in enumerate(falling)]
    assert behind == ["continue"] * 4
    assert report(driver, 2, 1, 100, 0.9) == "prune"
    stalled = [report(driver, 3, i + 1, 100 * (i + 1), 9 * value) for i, value in enumerate(falling[:3])]
    assert stalled == ["continue", "continue", "finish"]
    driver.tell(1, Finished())
    assert (driver.records()[1].state, driver.records()[1].reason) == ("finished", None)


def test_the_search_ends_when_its_trials_gain_no_more_than_the_noise(study: Study) -> None:
    driver = study.driver(patience={"trials": 2}, budget={"trials": 50})
    for number in range(3):
        assert driver.ask() is not None
        card = {"epoch": 1, "objective_error": 0.5}
        driver.report(number, card, Point(100, 1.0 + 0.1 * number))
        driver.tell(number, Finished())
    assert driver.ask() is None
    assert "The last 2 trials" in sentence_of(driver.spent)


def test_device_time_adds_up_over_processes(study: Study) -> None:
    worked = [0.0]
    settings = {"budget": {"gpu_seconds": 10}}

    def driver() -> Driver:
        made = study.driver(**settings)
        return Driver(made._memory, made._space, made._settings, 7, study.clock, lambda: worked[0])

    first = driver()
    first.ask()
    worked[0] = 6.0
    report(first, 0, 1, 100, 1.0)
    worked[0] = 0.0
    second = driver()
    assert second.device_seconds_spent == pytest.approx(6.0)
    assert second.spent is None
    worked[0] = 4.5
    assert sentence_of(second.spent) == "The budget of 10 GPU-seconds is spent (10 used)."


def test_lessons_of_earlier_studies_change_no_draw_of_the_first_third(new_study: Callable[[], Study]) -> None:
    lessons = [
        {"values": {"optimiser.unet_lr": 1e-3, "lora.rank": 64, "lora.conv": False}, "standing": place / 9}
        for place in range(10)
    ]
    draws = []
    for shown in ([], lessons):
        driver = new_study().driver(sampler="tpe", budget={"trials": 12}, lessons=shown)
        values = []
        while (proposal := driver.ask()) is not None:
            report(driver, proposal.number, 1, 100, proposal.number % 3)
            driver.tell(proposal.number, Finished())
            values.append(proposal.values)
        draws.append(values)
    without, with_lessons = draws
    assert with_lessons[:4] == without[:4]
    assert with_lessons[4:] != without[4:]
