"""Which runner trains which trial: alone in a study, or one of several that share it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from search.memory import Memory, Snapshot

LEASE = "lease"
"""Where a lease lies on its trial."""
MOST_TAKEOVERS = 3
"""How often a trial is taken over with no new checkpoint in between; then it is told as failed."""


class Leases(Protocol):
    """What a driver asks about who trains what."""

    @property
    def name(self) -> str:
        """Under which this runner keeps its accounts."""

    @property
    def poll_seconds(self) -> float:
        """How often to look again while others are waited for."""

    def left_behind(self) -> list[int]:
        """Running trials that an earlier process of this runner began."""

    def adrift(self) -> list[int]:
        """Trials that nobody trains any more."""

    def others(self) -> int:
        """How many trials other runners train, or have left to be taken over."""

    def take(self, number: int) -> bool:
        """Marks a trial that was just begun as ours; returns whether somebody had trained it before."""

    def take_over(self, number: int) -> bool:
        """Makes a trial ours that nobody trains any more; returns whether that succeeded."""

    def holds(self, number: int, seen: Snapshot | None = None) -> bool:
        """Whether a trial is still ours, and runs, as it was just seen; None reads it."""

    def exhausted(self, number: int) -> bool:
        """Whether a trial of ours was taken over too often without getting on."""

    def once(self, what: str, done: Callable[[], bool], do: Callable[[], None]) -> bool:
        """Lets one runner do something while the others wait until it is done; whether this one did it."""


class Alone:
    """The only runner of a study, as a lock ensures: everything is its own, and nothing is written."""

    name = "alone"
    poll_seconds = 1.0

    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    def left_behind(self) -> list[int]:
        """Every running trial."""
        return [number for number, (state, _) in self._memory.unended(LEASE).items() if state == "running"]

    def adrift(self) -> list[int]:
        """None."""
        return []

    def others(self) -> int:
        """None."""
        return 0

    def take(self, number: int) -> bool:
        """A trial that was just begun is new."""
        return False

    def take_over(self, number: int) -> bool:
        """Always."""
        return True

    def holds(self, number: int, seen: Snapshot | None = None) -> bool:
        """Always."""
        return True

    def exhausted(self, number: int) -> bool:
        """Never."""
        return False

    def once(self, what: str, done: Callable[[], bool], do: Callable[[], None]) -> bool:
        """Does it, unless it is done."""
        if done():
            return False
        do()
        return True
