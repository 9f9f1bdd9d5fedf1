"""What a runner may ask of whatever trains and judges its trials."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, Self

from evaluation.scorecard import ScoreCard
from search.trial import Proposal, Reason
from studies.study.exam import Exam as Exam
from studies.study.probe import ProbeResult
from studies.study.trial import Checkpoint
from trainer.trouble import Trouble

if TYPE_CHECKING:
    from trainer.training.pack_size import Reading


@dataclass(frozen=True, slots=True)
class Scored:
    """A checkpoint was written and scored."""

    checkpoint: Checkpoint
    last: bool
    """Whether the trial has reached its horizon."""


@dataclass(frozen=True, slots=True)
class TrialDiverged:
    """A trial diverged or renders nothing; it has left its slot."""

    trial: int
    reason: Reason

    @classmethod
    def by(cls, trouble: Trouble, trial: int) -> Self:
        """By what a trainer or a judge has met."""
        return cls(trial, reason_of(trouble))


def reason_of(trouble: Trouble) -> Reason:
    """A trainer's or a judge's trouble in the search's terms."""
    return Reason(trouble.code, trouble.values)


MEMORY_FULL = Reason("memory_full")


@dataclass(frozen=True, slots=True)
class Requeued:
    """A trial had to leave its slot; it waits to be admitted again."""

    trial: int
    reason: Reason = MEMORY_FULL


Event = Scored | TrialDiverged | Requeued


class Engine(Protocol):
    """Trains and judges; decides nothing."""

    def admit(self, proposal: Proposal, stored: Sequence[Checkpoint]) -> None:
        """Takes a trial in, from its last epoch end if it was resumed; ``stored`` are known already."""

    def stop(self, trial: int) -> None:
        """Frees the slot of a trial that need not go on."""

    def advance(self) -> list[Event]:
        """Trains until something happened."""

    @property
    def has_room(self) -> bool:
        """Whether another trial can be admitted."""

    @property
    def idle(self) -> bool:
        """Whether no trial is in training."""

    @property
    def seconds(self) -> Mapping[str, float]:
        """Working time of all devices in this run, by kind of work."""

    def retrain_on_all(self, proposal: Proposal, epoch: int) -> Reason | None:
        """Makes the LoRA file of a trial at an epoch if it is not there; nothing may be in training.

        Returns:
            Why it could not be trained; None where the file is there now.
        """

    def measure_units(self) -> dict[str, float]:
        """What one unit of each metric is in the objective."""

    def examine(self, checkpoints: Sequence[tuple[int, int]], exam: Exam) -> list[ScoreCard]:
        """Scores (trial, epoch) checkpoints from their files; nothing may be in training."""


class Equipped(Engine, Protocol):
    """An engine as a launch finds it: how much it trains at a time is still to be said."""

    def measure_pack(self) -> tuple[Reading, ...]:
        """How fast packs of growing size train the study's heaviest trial; nothing may be in training."""

    def probe(self) -> ProbeResult:
        """The learning-rate probe of the study's first recipe; nothing may be in training."""

    def limit_pack(self, size: int) -> None:
        """Trains at most so many trials at a time on each device from now on."""
