"""Samplers by name, each made anew for a trial."""

from __future__ import annotations

import hashlib
import math
import warnings
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from optuna.samplers import BaseSampler, RandomSampler


STARTUP_TRIALS = 25
"""Trials that TPE samples at random first, or a third of the budget if that is fewer; fewer over-exploit."""


@dataclass(frozen=True, slots=True)
class Draw:
    """What a trial's sampler is made for.

    Attributes:
        study_seed: equal for all trials.
        number: of the trial.
        budget: whole trials that the study's budget pays for; None if only time is limited.
    """

    study_seed: int
    number: int
    budget: int | None

    @property
    def seed(self) -> int:
        """Of this trial alone."""
        return derived_seed(self.study_seed, self.number)


Factory = Callable[[Draw], "BaseSampler"]


def derived_seed(*parts: int | str) -> int:
    """A seed of 32 bits that depends on all parts and on nothing else, such as (study seed, trial number)."""
    digest = hashlib.sha256("/".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:4], "big")


def make_sampler(name: str, draw: Draw) -> BaseSampler:
    """The sampler of that name for one trial.

    Raises:
        ValueError: there is none; the message names the choices.
    """
    if problem := sampler_problem(name):
        raise ValueError(problem)
    return SAMPLERS[name](draw)


def sampler_problem(name: str) -> str | None:
    """A sentence if no sampler has that name or its library is not installed, else None."""
    if name not in SAMPLERS:
        return f"Unknown sampler {name!r}; choose one of: {', '.join(sorted(SAMPLERS))}."
    missing = [module for module in _NEEDS.get(name, ()) if find_spec(module) is None]
    if missing:
        return f"The sampler {name!r} needs {' and '.join(missing)}: pip install 'lorasearch[samplers]'."
    return None


def startup_trials(n_trials_budget: int | None) -> int:
    """How many finished trials, enqueued recipes included, TPE waits for before it models the objective."""
    if n_trials_budget is None:
        return STARTUP_TRIALS
    return min(STARTUP_TRIALS, math.ceil(n_trials_budget / 3))


def _random(draw: Draw) -> RandomSampler:
    """Uniform draws, each from a generator seeded by the parameter's name.

    So a value depends on nothing but seed and name: not on what was drawn before, nor on whether the process
    was killed between two parameters of a trial.
    """
    from optuna.samplers import RandomSampler

    class ByName(RandomSampler):
        def sample_independent(self, study: Any, trial: Any, param_name: str, param_distribution: Any) -> Any:
            fresh = RandomSampler(seed=derived_seed(draw.seed, param_name))
            return fresh.sample_independent(study, trial, param_name, param_distribution)

    return ByName(draw.seed)


def _tpe(draw: Draw) -> BaseSampler:
    """Multivariate TPE over groups of parameters that occur together; running trials count as bad ones.

    The best quarter counts as good: with Optuna's tenth a study of 24 trials would learn from one or two.
    """
    from optuna.samplers import TPESampler

    with _experiments():  # `group` has been experimental since 2.8; `gamma` goes with Optuna 6
        sampler = TPESampler(
            seed=draw.seed,
            multivariate=True,
            group=True,
            constant_liar=True,
            gamma=_good,
            n_startup_trials=startup_trials(draw.budget),
        )
    sampler._random_sampler = _random(draw)  # start-up draws seeded by name too
    return sampler


def _good(trials: int) -> int:
    return min(math.ceil(trials / 4), 25)


def _gp(draw: Draw) -> BaseSampler:
    """Gaussian process with expected improvement."""
    from optuna.samplers import GPSampler

    return GPSampler(
        seed=draw.seed,
        independent_sampler=_random(draw),
        n_startup_trials=startup_trials(draw.budget),
        warn_independent_sampling=False,
    )


def _cmaes(draw: Draw) -> BaseSampler:
    """CMA-ES (Hansen 2016) over the numbers; choices and what depends on them are drawn at random."""
    from optuna.samplers import CmaEsSampler

    return CmaEsSampler(seed=draw.seed, independent_sampler=_random(draw), warn_independent_sampling=False)


def _qmc(draw: Draw) -> BaseSampler:
    """Sobol points, scrambled by the study's seed: trial n takes point n, so a resumed trial takes its own again."""
    from optuna.samplers import QMCSampler

    class ByNumber(QMCSampler):
        def _find_sample_id(self, study: Any, search_space: Any) -> int:
            return draw.number

    with _experiments():  # the class has been experimental since 3.0
        return ByNumber(
            scramble=True,
            seed=draw.study_seed,
            independent_sampler=_random(draw),
            warn_independent_sampling=False,
        )


@contextmanager
def _experiments() -> Iterator[None]:
    """Optuna calls an argument or a class experimental, or says when it goes; nothing to tell our users."""
    from optuna.exceptions import ExperimentalWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        warnings.simplefilter("ignore", FutureWarning)
        yield


SAMPLERS: dict[str, Factory] = {"cmaes": _cmaes, "gp": _gp, "qmc": _qmc, "random": _random, "tpe": _tpe}


_NEEDS = {"cmaes": ("cmaes",)}
