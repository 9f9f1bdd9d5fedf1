"""What a study holds of its trials: their checkpoints, with scores."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict

from evaluation.scorecard import ScoreCard
from search.memory import Memory
from search.trial import Point, Reason, State, TrialRecord, Value


def _read(stored: Any) -> Reason | None:
    return stored if isinstance(stored, Reason) else Reason.of_json(stored)


MaybeReason = Annotated[Reason | None, BeforeValidator(_read)]
"""A reason that is stored as JSON; what older versions stored as a sentence is told as it is."""
AnyReason = Annotated[Reason, BeforeValidator(_read)]
"""The same where there always is one."""


class Origin(BaseModel):
    """Of which run a LoRA file of any trainer is, and what its name says."""

    model_config = ConfigDict(frozen=True)

    run: str
    label: str
    """As people call it: a number of the unit, or "last"."""
    unit: str
    """ "epoch" or "step"."""
    images_seen: int | None = None
    """As the file says; None where it does not."""
    layers: int = 0
    """How many layers it adapts."""


class Checkpoint(BaseModel):
    """One saved LoRA of one trial; a file that ``judge`` is given is the one checkpoint of its trial."""

    model_config = ConfigDict(frozen=True)

    trial: int
    epoch: int
    images_seen: int
    """Training images seen, repeats counted; the order of checkpoints."""
    rank: int
    file: str
    """In a study, relative to its workspace."""
    scores: ScoreCard
    runs: int = 1
    """Trainings that it stands for: one for each fold of a small set."""
    steps: int | None = None
    training_loss: float | None = None
    """Mean squared error over the epoch; None where it was not finite."""
    objective: float | None = None
    """What it is worth to the search: higher is better, 0 is the base model; None where it is not finite."""
    objective_error: float | None = None
    barred: MaybeReason = None
    """Why a guard keeps it from winning; None if none does."""
    origin: Origin | None = None
    """None for a study's own."""

    @property
    def key(self) -> tuple[int, int]:
        """By what it is found: its trial's number and its epoch."""
        return self.trial, self.epoch

    @property
    def training_gap(self) -> float | None:
        """Validation minus training log ratio: how much better the images are known that were trained on."""
        gap = self.scores.training_gap
        return None if gap is None else gap.mean

    def to_json(self) -> dict[str, Any]:
        """As the search's memory keeps it."""
        return self.model_dump(mode="json", exclude={"trial"}, exclude_defaults=False)


@dataclass(frozen=True)
class Trial:
    """One trial with all its checkpoints, ordered by epoch."""

    number: int
    values: Mapping[str, Value]
    """The searched parameters by name."""
    state: State
    checkpoints: tuple[Checkpoint, ...] = ()
    reason: Reason | None = None
    """Why it was infeasible, failed, or was trained no further."""

    @classmethod
    def of(cls, record: TrialRecord) -> Trial:
        """A trial as the memory holds it."""
        found = (Checkpoint.model_validate({**card, "trial": record.number}) for card in record.cards)
        return cls(record.number, record.values, record.state, tuple(found), record.reason)

    @cached_property
    def scored(self) -> tuple[Checkpoint, ...]:
        """The checkpoints that have an objective."""
        return tuple(checkpoint for checkpoint in self.checkpoints if checkpoint.objective is not None)

    @cached_property
    def best(self) -> Checkpoint | None:
        """The checkpoint with the highest objective, the first of equals; None before there is one."""
        return max(self.scored, key=lambda one: one.objective or 0.0, default=None)

    @property
    def objective(self) -> float | None:
        """That of its best checkpoint."""
        return self.best.objective if self.best else None

    @property
    def curve(self) -> tuple[Point, ...]:
        """Objectives over images seen."""
        return tuple(Point(one.images_seen, one.objective or 0.0) for one in self.scored)

    @property
    def epochs(self) -> int:
        """The last that was scored; 0 before the first."""
        return max((one.epoch for one in self.checkpoints), default=0)

    @property
    def images_seen(self) -> int:
        """Images at its last checkpoint; 0 before the first."""
        return max((one.images_seen for one in self.checkpoints), default=0)

    @property
    def images_trained(self) -> int:
        """Those of all runs of the trial together."""
        return self.images_seen * max((one.runs for one in self.checkpoints), default=1)

    def at(self, epoch: int) -> Checkpoint:
        """Its checkpoint of an epoch.

        Raises:
            StopIteration: there is none.
        """
        return next(one for one in self.checkpoints if one.epoch == epoch)


def read_trials(memory: Memory) -> list[Trial]:
    """All trials, ordered by number."""
    return [Trial.of(record) for record in memory.records()]
