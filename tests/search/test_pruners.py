from __future__ import annotations

from typing import Any

import pytest

from search.memory import Memory
from search.pruners import PRUNERS, PrunerSettings, grid, make_pruner
from search.trial import Finished, Infeasible, Reason
from tests.search.conftest import Study

HORIZON = 900


def settings(name: str) -> PrunerSettings:
    return PrunerSettings(name=name, min_images=100 if name != "none" else 0)


class PrunerContract:
    """What every pruner keeps; a test class of a pruner gives only its name."""

    @pytest.fixture
    def name(self) -> str:
        raise NotImplementedError

    def train(self, memory: Memory, name: str, level: float) -> int | None:
        """Trains one trial whose objective stays at a level; returns where it was pruned."""
        number = memory.begin()
        pruner = make_pruner(settings(name), HORIZON)  # a new one each time, as after a restart
        for images in grid(settings(name), HORIZON):
            memory.report(number, images, level)
            if memory.should_prune(number, pruner):
                return images
        memory.tell(number, Finished(), level)
        return None

    def test_the_first_trial_is_never_pruned(self, study: Study, name: str) -> None:
        assert self.train(study.memory(), name, -3.0) is None

    def test_a_trial_better_than_all_before_is_never_pruned(self, study: Study, name: str) -> None:
        memory = study.memory()
        assert [self.train(memory, name, float(level)) for level in range(8)] == [None] * 8

    def test_the_worst_of_many_is_pruned_unless_nothing_ever_is(self, study: Study, name: str) -> None:
        memory = study.memory()
        for level in range(8):
            self.train(memory, name, float(level))
        worst = [self.train(memory, name, -9.0 - n) for n in range(3)]
        assert any(worst) == (name != "none")

    def test_the_grid_rises_and_stays_below_the_horizon(self, name: str) -> None:
        points = grid(settings(name), HORIZON)
        assert list(points) == sorted(set(points))
        assert all(0 < point < HORIZON for point in points)


class TestPace(PrunerContract):
    @pytest.fixture
    def name(self) -> str:
        return "pace"

    def test_only_what_cannot_reach_the_best_by_the_horizon_is_ended(self, study: Study) -> None:
        """The best is 6.0. From the base model's 0 to 0.7 at 100 a line ends at 0.7 + 800 x 0.007 = 6.3, to 0.6 at 5.4;
        from 0.7 to 1.3 at 200 it ends at 1.3 + 700 x 0.006 = 5.5."""
        memory, pruner = study.memory(), make_pruner(settings("pace"), HORIZON)
        self.train(memory, "pace", 6.0)
        slow, slower = memory.begin(), memory.begin()
        memory.report(slow, 100, 0.7)
        memory.report(slower, 100, 0.6)
        assert not memory.should_prune(slow, pruner)
        assert memory.should_prune(slower, pruner)
        memory.report(slow, 200, 1.3)
        assert memory.should_prune(slow, pruner)

    def test_an_infeasible_trial_is_nothing_to_beat(self, study: Study) -> None:
        memory, pruner = study.memory(), make_pruner(settings("pace"), HORIZON)
        barred, other = memory.begin(), memory.begin()
        memory.report(barred, 100, 9.0)
        memory.tell(barred, Infeasible(Reason.told("it copies training images")), 9.0)
        memory.report(other, 100, 0.1)
        assert not memory.should_prune(other, pruner)


class TestForecast(PrunerContract):
    @pytest.fixture
    def name(self) -> str:
        return "forecast"

    def test_what_falls_behind_level_trials_is_ended_though_a_line_could_still_win(
        self, study: Study
    ) -> None:
        """Six trials stay at 1.0; another shows 0.5, 0.5, 0.6: a line ends at 0.6 + 6 x 0.1 = 1.2."""
        memory = study.memory()
        for _ in range(6):
            self.train(memory, "forecast", 1.0)
        number = memory.begin()
        pace, forecast = (make_pruner(settings(name), HORIZON) for name in ("pace", "forecast"))
        for images, level in ((100, 0.5), (200, 0.5), (300, 0.6)):
            memory.report(number, images, level)
        assert not memory.should_prune(number, pace)
        assert memory.should_prune(number, forecast)
        reason = forecast.reason  # type: ignore[attr-defined]
        assert reason.values["chance"] < 0.05 and reason.values["best"] == 1.0

    def test_among_fewer_than_four_trials_it_ends_what_pace_ends(self, study: Study) -> None:
        memory = study.memory()
        for _ in range(2):
            self.train(memory, "forecast", 1.0)
        number, pruner = memory.begin(), make_pruner(settings("forecast"), HORIZON)
        for images, level in ((100, 0.5), (200, 0.5), (300, 0.6)):
            memory.report(number, images, level)
        assert not memory.should_prune(number, pruner)


class TestAsha(PrunerContract):
    @pytest.fixture
    def name(self) -> str:
        return "asha"

    def test_one_in_three_goes_on_from_each_rung(self, study: Study) -> None:
        """Nine equally spaced trials reach rung 100 best first; by hand, those ranked above a third stay."""
        memory = study.memory()
        pruned = [self.train(memory, "asha", -float(level)) for level in range(9)]
        assert pruned == [None] + [100] * 8

    def test_a_resumed_trial_is_not_judged_twice_at_one_rung(self, study: Study) -> None:
        memory = study.memory()
        first, second = memory.begin(), memory.begin()
        pruner = make_pruner(settings("asha"), HORIZON)
        memory.report(first, 100, 1.0)
        assert not memory.should_prune(first, pruner)
        memory.report(second, 100, 2.0)
        reopened = study.memory()
        assert not reopened.should_prune(second, pruner)
        assert not reopened.should_prune(first, pruner)  # rung 100 is passed, though it would lose it now
        reopened.report(first, 300, 1.5)
        assert not reopened.should_prune(first, pruner)
        reopened.report(second, 300, 1.4)
        assert reopened.should_prune(second, pruner)


class TestHyperband(PrunerContract):
    @pytest.fixture
    def name(self) -> str:
        return "hyperband"


class TestMedian(PrunerContract):
    @pytest.fixture
    def name(self) -> str:
        return "median"

    def test_below_the_median_of_five_finished_trials_is_pruned(self, study: Study) -> None:
        memory = study.memory()
        assert [self.train(memory, "median", level) for level in (1.0, 2.0, 3.0, 4.0, 5.0)] == [None] * 5
        assert self.train(memory, "median", 2.9) == 100
        assert self.train(memory, "median", 3.1) is None


class TestPercentile(PrunerContract):
    @pytest.fixture
    def name(self) -> str:
        return "percentile"

    def test_only_the_best_quarter_of_five_goes_on(self, study: Study) -> None:
        """Of the levels 1 to 5 the best quarter begins at 4 (linear interpolation between ranks)."""
        memory = study.memory()
        assert [self.train(memory, "percentile", level) for level in (1.0, 2.0, 3.0, 4.0, 5.0)] == [None] * 5
        quarter = make_pruner(settings("percentile").model_copy(update={"percentile": 25.0}), HORIZON)
        half = make_pruner(settings("percentile"), HORIZON)
        for level, pruner, stops in ((3.9, quarter, True), (4.1, quarter, False), (3.1, half, False)):
            number = memory.begin()
            memory.report(number, 100, level)
            assert memory.should_prune(number, pruner) == stops


class TestWilcoxon(PrunerContract):
    @pytest.fixture
    def name(self) -> str:
        return "wilcoxon"


class TestNone(PrunerContract):
    @pytest.fixture
    def name(self) -> str:
        return "none"


def test_every_pruner_keeps_the_contract() -> None:
    assert {f"Test{n.title()}" for n in PRUNERS} == {
        "TestAsha",
        "TestForecast",
        "TestHyperband",
        "TestMedian",
        "TestNone",
        "TestPace",
        "TestPercentile",
        "TestWilcoxon",
    }


@pytest.mark.parametrize(
    ("name", "points"),
    [
        ("asha", (100, 300)),
        ("hyperband", (100, 300)),
        ("median", (100, 200, 300, 400, 500, 600, 700, 800)),
        ("forecast", (100, 200, 300, 400, 500, 600, 700, 800)),
        ("pace", (100, 200, 300, 400, 500, 600, 700, 800)),
        ("percentile", (100, 200, 300, 400, 500, 600, 700, 800)),
        ("none", ()),
    ],
)
def test_trials_are_compared_at_rungs_or_multiples(name: str, points: tuple[int, ...]) -> None:
    assert grid(settings(name), HORIZON) == points


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        (
            {"name": "assha", "min_images": 1},
            "Unknown pruner 'assha'; choose one of: asha, forecast, hyperband, median, none, pace, percentile, "
            "wilcoxon.",
        ),
        ({}, "pruner.min_images must be at least 1, but got 0."),
        ({"min_images": 5, "percentile": 100}, "pruner.percentile must lie between 0 and 100, but got 100."),
        ({"min_images": 5, "reduction_factor": 1}, "pruner.reduction_factor must be at least 2, but got 1."),
    ],
)
def test_wrong_settings_are_told(table: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError) as raised:
        PrunerSettings.model_validate(table)
    assert sentence in str(raised.value)
