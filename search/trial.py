"""What passes between the search and the one who trains: proposals, points, ends and records."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any, Literal

Value = bool | int | float | str
"""One value of one search parameter."""

State = Literal["running", "finished", "pruned", "infeasible", "failed", "waiting"]
"""What has become of a trial; `waiting` is an enqueued recipe that nobody has asked for yet."""

Verdict = Literal["continue", "prune", "finish", "lost"]
"""The answer to a report; a lost trial is trained on by another runner, or was ended by somebody."""


Scalar = bool | int | float | str | None
"""One JSON value."""


@dataclass(frozen=True)
class Reason:
    """Why something ended or may not be: facts, for others to put into words.

    Attributes:
        code: names the kind, such as `stalled`.
        values: what a sentence about it needs.
    """

    code: str
    values: Mapping[str, Scalar] = field(default_factory=dict)

    @classmethod
    def told(cls, text: str) -> Reason:
        """What is known only as a text."""
        return cls(TOLD, {"text": text})

    @classmethod
    def of_json(cls, json_value: Any) -> Reason | None:
        """A stored reason; None where none is. What older versions stored as a text, and all else, is told."""
        match json_value:
            case None:
                return None
            case {"code": str(code), "values": Mapping() as values}:
                return cls(code, dict(values))
            case _:
                return cls.told(str(json_value))

    def to_json(self) -> dict[str, Any]:
        """As it is stored."""
        return {"code": self.code, "values": dict(self.values)}


TOLD = "told"
"""Code of a reason that is only a text."""


@dataclass(frozen=True)
class Proposal:
    """One trial to be trained.

    Attributes:
        number: the trial's number in the study, from 0.
        values: the searched parameters by name; those whose condition does not hold are absent.
        resumed: true when the trial was begun before (by an earlier process, or evicted from a pack), so that
            it goes on from its last checkpoint, if it has one.
    """

    number: int
    values: dict[str, Value]
    resumed: bool = False


@dataclass(frozen=True)
class Point:
    """One checkpoint's objective: higher is better, 0 is the base model without LoRA.

    Attributes:
        images_seen: training images seen so far, repeats counted.
        objective: the objective's estimate; not finite when the trial has diverged.
    """

    images_seen: int
    objective: float


@dataclass(frozen=True)
class Finished:
    """The trial was trained to its horizon."""


@dataclass(frozen=True)
class Pruned:
    """The pruner stopped the trial."""


@dataclass(frozen=True)
class Infeasible:
    """The values cannot be trained here: the trial diverged or never fitted into memory."""

    reason: Reason


@dataclass(frozen=True)
class Failed:
    """Something broke that says nothing about the values; the sampler ignores the trial."""

    reason: Reason


End = Finished | Pruned | Infeasible | Failed
"""How a trial can end."""


@dataclass(frozen=True)
class TrialRecord:
    """All that the memory holds about one trial.

    Attributes:
        number: the trial's number in the study.
        values: the parameters by name (of a waiting trial: those that its recipe fixes).
        state: what has become of it.
        cards: one score card a checkpoint, ordered by epoch, each with at least `epoch`, `images_seen` and
            `objective` (None where it was not finite), and `runs` where several train for the trial. Shared with a
            cache: not to be changed.
        curve: the checkpoints with a finite objective, ordered by images seen, not smoothed.
        reason: why it was infeasible, failed, or was trained no further.
        started: local time of its begin, None while waiting.
        ended: local time of its end, None before.
    """

    number: int
    values: dict[str, Value]
    state: State
    cards: tuple[Mapping[str, Any], ...] = ()
    curve: tuple[Point, ...] = ()
    reason: Reason | None = None
    started: datetime | None = None
    ended: datetime | None = None

    @cached_property
    def images_seen(self) -> int:
        """Images that the trial has seen at its last checkpoint; 0 before the first."""
        return max((int(card["images_seen"]) for card in self.cards), default=0)

    @property
    def images_trained(self) -> int:
        """Those of all runs of the trial together, which train side by side on the folds of a small set."""
        return self.images_seen * max((int(card.get("runs", 1)) for card in self.cards), default=1)
