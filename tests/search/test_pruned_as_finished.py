"""A sampler learns from pruned trials as from finished ones."""

from __future__ import annotations

import pytest

from search.samplers import Draw, make_sampler
from search.space import parse_space
from search.trial import Finished, Pruned
from tests.search.conftest import Study


@pytest.mark.parametrize("name", ["tpe", "gp"])
def test_the_best_trial_teaches_most_whether_it_was_pruned_or_not(study: Study, name: str) -> None:
    """All trials above 0.6 are better and pruned; at random four in ten lie there."""
    space, memory = parse_space({"x": {"low": 0.0, "high": 1.0}}), study.memory()
    asked = []
    for n in range(24):
        sampler = make_sampler(name, Draw(2, n, 30))
        x = float(memory.suggest(memory.begin(), space.suggest, sampler)["x"])
        value = x if x > 0.6 else -1 - x
        memory.report(n, 8, value)
        memory.tell(n, Pruned() if x > 0.6 else Finished(), value)
        asked.append(x)
    assert sum(x > 0.6 for x in asked[-10:]) >= 8


@pytest.mark.parametrize("forecast", [False, True])
def test_ended_trials_count_with_their_forecast_optimum_only_where_that_is_asked_for(
    study: Study, forecast: bool
) -> None:
    """All trials reach 0; forecasts say that x is what counts. A sampler that reads them looks above 0.6."""
    space, memory = parse_space({"x": {"low": 0.0, "high": 1.0}}), study.memory()
    asked = []
    for n in range(24):
        sampler = make_sampler("tpe", Draw(2, n, 30))
        x = float(memory.suggest(memory.begin(), space.suggest, sampler, forecast)["x"])
        memory.report(n, 8, 0.0)
        memory.annotate(n, "forecast", {"best": x})
        memory.tell(n, Finished(), 0.0)
        asked.append(x)
    assert (sum(x > 0.6 for x in asked[-10:]) >= 7) == forecast
