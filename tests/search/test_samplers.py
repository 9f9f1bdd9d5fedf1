from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from search.samplers import SAMPLERS, Draw, derived_seed, make_sampler, sampler_problem, startup_trials
from search.space import SuggestingTrial, parse_space
from search.trial import Finished, Infeasible, Reason, Value
from tests.search.conftest import Study


class Killed(Exception):
    pass


class DiesAfterOne:
    """A trial whose process is killed when a second parameter is asked for."""

    def __init__(self, trial: SuggestingTrial) -> None:
        self._trial, self._left = trial, 1

    def _count(self) -> None:
        if not self._left:
            raise Killed
        self._left -= 1

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        self._count()
        return self._trial.suggest_float(name, low, high, log=log)

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int:
        self._count()
        return self._trial.suggest_int(name, low, high, step=step, log=log)

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        self._count()
        return self._trial.suggest_categorical(name, choices)


class SamplerContract:
    """What every sampler keeps; a test class of a sampler gives only its name."""

    @pytest.fixture
    def name(self) -> str:
        raise NotImplementedError

    def values(self, study: Study, name: str, seed: int) -> dict[str, Value]:
        memory = study.memory()
        number = memory.begin()
        return memory.suggest(number, study.space.suggest, make_sampler(name, Draw(seed, number, 30)))

    def test_proposals_fit_the_space(self, study: Study, name: str) -> None:
        for seed in range(4):
            assert study.space.problems(self.values(study, name, seed)) == []

    def test_equal_seeds_give_equal_values(self, new_study: Callable[[], Study], name: str) -> None:
        assert self.values(new_study(), name, 1) == self.values(new_study(), name, 1)
        assert self.values(new_study(), name, 1) != self.values(new_study(), name, 2)

    def test_a_kill_between_two_parameters_changes_nothing(
        self, new_study: Callable[[], Study], name: str
    ) -> None:
        whole, broken = new_study(), new_study()
        memory = broken.memory()
        number = memory.begin()
        with pytest.raises(Killed):
            memory.suggest(
                number,
                lambda t: broken.space.suggest(DiesAfterOne(t)),
                make_sampler(name, Draw(3, number, 30)),
            )
        resumed = broken.memory().suggest(
            number, broken.space.suggest, make_sampler(name, Draw(3, number, 30))
        )
        assert resumed == self.values(whole, name, 3)

    def test_it_goes_on_after_many_ended_trials(self, study: Study, name: str) -> None:
        memory = study.memory()
        for seed in range(12):
            number = memory.begin()
            sampler = make_sampler(name, Draw(7, number, 9))
            values = memory.suggest(number, study.space.suggest, sampler)
            assert study.space.problems(values) == []
            memory.tell(number, Finished(), float(seed))


class TestRandom(SamplerContract):
    @pytest.fixture
    def name(self) -> str:
        return "random"


class TestTpe(SamplerContract):
    @pytest.fixture
    def name(self) -> str:
        return "tpe"

    def test_it_leaves_the_region_of_infeasible_trials(self, new_study: Callable[[], Study]) -> None:
        """Above x = 0.3 nothing can be trained, and only y matters to the objective.

        At random 21 of 30 proposals lie above, with a standard deviation of 2.5.
        """
        above = {name: sum(x > 0.3 for x in self.play(new_study(), name)[-30:]) for name in ("random", "tpe")}
        assert above["random"] >= 16
        assert above["tpe"] <= 12

    def play(self, study: Study, name: str) -> list[float]:
        memory = study.memory()
        space = parse_space({"x": {"low": 0.0, "high": 1.0}, "y": {"low": 0.0, "high": 1.0}})
        asked = []
        for n in range(60):
            sampler = make_sampler(name, Draw(5, n, 45))
            x, y = map(float, memory.suggest(memory.begin(), space.suggest, sampler).values())
            memory.tell(n, Infeasible(Reason.told("diverged")) if x > 0.3 else Finished(), -((y - 0.5) ** 2))
            asked.append(x)
        return asked


class TestGp(SamplerContract):
    @pytest.fixture
    def name(self) -> str:
        return "gp"

    def test_it_finds_the_peak_of_a_smooth_hill(self, new_study: Callable[[], Study]) -> None:
        """At random the best of 25 lies within 0.01 of the peak in 1 of 500 studies or so."""
        assert max(self.climb(new_study(), "gp")) > -1e-4 > max(self.climb(new_study(), "random"))

    def climb(self, study: Study, name: str) -> list[float]:
        memory, found = study.memory(), list[float]()
        space = parse_space({"x": {"low": 0.0, "high": 1.0}, "y": {"low": 0.0, "high": 1.0}})
        for n in range(25):
            values = memory.suggest(memory.begin(), space.suggest, make_sampler(name, Draw(5, n, 25)))
            x, y = map(float, values.values())
            found.append(-((x - 0.7) ** 2) - (y - 0.2) ** 2)
            memory.tell(n, Finished(), found[-1])
        return found


class TestCmaes(SamplerContract):
    @pytest.fixture
    def name(self) -> str:
        return "cmaes"


class TestQmc(SamplerContract):
    @pytest.fixture
    def name(self) -> str:
        return "qmc"

    def test_its_points_are_spread_evenly(self, study: Study) -> None:
        """Of 32 scrambled Sobol points each eighth of a parameter's range holds four."""
        memory, counts = study.memory(), [0] * 8
        space = parse_space({"x": {"low": 0.0, "high": 1.0}, "y": {"low": 0.0, "high": 1.0}})
        memory.enqueue(
            {"x": 0.5, "y": 0.5}
        )  # the sequence begins with the second trial: the first names the space
        for n in range(33):
            values = memory.suggest(memory.begin(), space.suggest, make_sampler("qmc", Draw(5, n, 33)))
            memory.tell(n, Finished(), 0.0)
            if 0 < n < 32:
                counts[int(float(values["x"]) * 8)] += 1
        assert min(counts) >= 3
        assert max(counts) <= 4


def test_every_sampler_keeps_the_contract() -> None:
    assert {"TestCmaes", "TestGp", "TestQmc", "TestRandom", "TestTpe"} == {
        f"Test{name.title()}" for name in SAMPLERS
    }


def test_an_unknown_sampler_is_told_with_the_choices() -> None:
    with pytest.raises(
        ValueError, match=r"^Unknown sampler 'tpp'; choose one of: cmaes, gp, qmc, random, tpe\.$"
    ):
        make_sampler("tpp", Draw(0, 0, None))


def test_a_missing_library_is_told_with_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("search.samplers.find_spec", lambda module: None)
    assert [name for name in SAMPLERS if sampler_problem(name) is not None] == ["cmaes"]
    assert sampler_problem("cmaes") == "The sampler 'cmaes' needs cmaes: pip install 'lorasearch[samplers]'."


def test_start_up_takes_25_trials_or_a_third_of_the_budget() -> None:
    assert [startup_trials(n) for n in (None, 1000, 75, 30, 4)] == [25, 25, 25, 10, 2]


def test_a_derived_seed_depends_on_every_part() -> None:
    assert len({derived_seed(a, b) for a in range(30) for b in range(30)}) == 900
    assert 0 <= derived_seed(0, 0) < 2**32
