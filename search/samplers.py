"""Samplers by name: each a factory of an Optuna sampler, seeded by study seed and trial number."""

from __future__ import annotations

import hashlib
import math
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler, RandomSampler

STARTUP_TRIALS = 25
"""Trials that TPE samples at random first, or a third of the budget if that is fewer; fewer over-exploit."""

Factory = Callable[[int, int | None], "BaseSampler"]
"""Takes a seed and the study's budget of trials (None if unlimited)."""


def derived_seed(*parts: int | str) -> int:
    """A seed of 32 bits that depends on all parts and on nothing else, such as (study seed, trial number)."""
    digest = hashlib.sha256("/".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:4], "big")


def make_sampler(name: str, seed: int, n_trials_budget: int | None) -> BaseSampler:
    """The sampler of that name.

    Raises:
        ValueError: there is none; the message names the choices.
    """
    if problem := sampler_problem(name):
        raise ValueError(problem)
    return SAMPLERS[name](seed, n_trials_budget)


def sampler_problem(name: str) -> str | None:
    """A sentence if no sampler has that name, else None."""
    if name in SAMPLERS:
        return None
    return f"Unknown sampler {name!r}; choose one of: {', '.join(sorted(SAMPLERS))}."


def startup_trials(n_trials_budget: int | None) -> int:
    """How many finished trials, enqueued recipes included, TPE waits for before it models the objective."""
    if n_trials_budget is None:
        return STARTUP_TRIALS
    return min(STARTUP_TRIALS, math.ceil(n_trials_budget / 3))


def _random(seed: int, n_trials_budget: int | None) -> RandomSampler:
    """Uniform draws, each from a generator seeded by the parameter's name.

    So a value depends on nothing but seed and name: not on what was drawn before, nor on whether the process
    was killed between two parameters of a trial.
    """
    from optuna.samplers import RandomSampler

    class ByName(RandomSampler):
        def sample_independent(self, study: Any, trial: Any, param_name: str, param_distribution: Any) -> Any:
            fresh = RandomSampler(seed=derived_seed(seed, param_name))
            return fresh.sample_independent(study, trial, param_name, param_distribution)

    return ByName(seed)


def _tpe(seed: int, n_trials_budget: int | None) -> BaseSampler:
    """Multivariate TPE over groups of parameters that occur together; running trials count as bad ones."""
    from optuna.exceptions import ExperimentalWarning
    from optuna.samplers import TPESampler

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)  # `group` has been experimental since 2.8
        sampler = TPESampler(
            seed=seed,
            multivariate=True,
            group=True,
            constant_liar=True,
            n_startup_trials=startup_trials(n_trials_budget),
        )
    sampler._random_sampler = _random(seed, n_trials_budget)  # start-up draws seeded by name too
    return sampler


SAMPLERS: dict[str, Factory] = {"random": _random, "tpe": _tpe}
