"""Learning curves of finished studies, read from copies of their databases; for replays without training."""

from __future__ import annotations

import shutil
import tempfile
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from search.record import to_record
from search.space import Space, parse_space
from search.trial import Point, State, TrialRecord

Figure = Literal["objective", "validation"]
DATABASE = "study.sqlite3"


@dataclass(frozen=True)
class Stored:
    """One trial as it was trained."""

    number: int
    values: Mapping[str, Any]
    state: State
    points: tuple[Point, ...]
    """Of the figure that is replayed; higher is better."""


@dataclass(frozen=True)
class StoredStudy:
    """One study as it was trained.

    Attributes:
        name: of its folder.
        space: what was searched, as wide as its trials were drawn.
        distributions: the same as Optuna has it.
        horizon: images that the longest trial saw.
        recipes: how many of the first trials were given and never pruned.
        trials: those that were trained, by number.
    """

    name: str
    space: Space
    distributions: Mapping[str, BaseDistribution]
    horizon: int
    recipes: int
    trials: tuple[Stored, ...]

    @property
    def whole(self) -> tuple[Stored, ...]:
        """Trials that were trained to the horizon."""
        return tuple(t for t in self.trials if t.points[-1].images_seen == self.horizon)

    @property
    def best(self) -> float:
        """The highest checkpoint."""
        return max(point.objective for trial in self.trials for point in trial.points)

    @property
    def spread(self) -> float:
        """From the median checkpoint to the best one: the unit of what is lost."""
        found = sorted(point.objective for trial in self.trials for point in trial.points)
        return found[-1] - found[len(found) // 2]


def studies(folder: Path, figure: Figure, checkpoints: int = 3) -> Iterator[StoredStudy]:
    """Studies in `<folder>/<name>/workspace` whose longest trials have so many checkpoints.

    The databases are copied before they are opened; nothing in the folder is written.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    for database in sorted(folder.glob(f"*/workspace/{DATABASE}")):
        with tempfile.TemporaryDirectory() as scratch:
            for part in database.parent.glob(f"{DATABASE}*"):
                shutil.copy(part, scratch)
            url = f"sqlite:///{scratch}/{DATABASE}"
            stored = optuna.load_study(study_name=optuna.get_all_study_names(url)[0], storage=url)
            found = _study(database.parent, stored, figure)
        if found and max(len(trial.points) for trial in found.trials) >= checkpoints:
            yield found


def _study(workspace: Path, stored: optuna.Study, figure: Figure) -> StoredStudy | None:
    records = [to_record(trial) for trial in stored.get_trials(deepcopy=False)]
    trials = [
        Stored(record.number, record.values, record.state, points)
        for record in records
        if record.state in ("finished", "pruned") and (points := _points(record, figure))
    ]
    if len(trials) < 4:
        return None
    file = tomllib.loads((workspace / "study.toml").read_text())
    drawn: dict[str, BaseDistribution] = {}
    for trial in stored.get_trials(deepcopy=False):
        for name, one in trial.distributions.items():
            drawn[name] = widened(drawn.get(name), one)
    conditions = {name: table.get("when", {}) for name, table in file["search"]["space"].items()}
    tables = {name: table_of(one) | {"when": conditions.get(name, {})} for name, one in drawn.items()}
    horizon = max(trial.points[-1].images_seen for trial in trials)
    recipes = len(file.get("first", []))
    return StoredStudy(workspace.parent.name, parse_space(tables), drawn, horizon, recipes, tuple(trials))


def _points(record: TrialRecord, figure: Figure) -> tuple[Point, ...]:
    if figure == "objective":
        return record.curve
    told = [
        (c["images_seen"], c["scores"]["metrics"]["validation"]["difference"]["mean"]) for c in record.cards
    ]
    return tuple(Point(images, -rise) for images, rise in told if rise is not None)


def widened(before: BaseDistribution | None, one: BaseDistribution) -> BaseDistribution:
    """A range that holds what was drawn before and now; the probe may have moved it."""
    if not isinstance(one, FloatDistribution) or not isinstance(before, FloatDistribution):
        return one
    return FloatDistribution(min(one.low, before.low), max(one.high, before.high), log=one.log)


def table_of(one: BaseDistribution) -> dict[str, Any]:
    """As a study file says it."""
    match one:
        case CategoricalDistribution(choices=choices):
            return {"choices": list(choices)}
        case IntDistribution(low=low, high=high, log=log, step=step):
            return {"type": "integer", "low": low, "high": high, "log": log, "step": step}
        case FloatDistribution(low=low, high=high, log=log):
            return {"type": "real", "low": low, "high": high, "log": log}
        case _:
            raise TypeError(f"A study cannot have {one}.")
