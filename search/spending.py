"""Running time of a search, kept by each of its runners and summed."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from search.memory import Memory

_SPENT = "spent/"
_SECONDS, _DEVICE_SECONDS = "seconds_spent", "device_seconds_spent"


class Spent(NamedTuple):
    """Seconds of a search."""

    seconds: float
    """Running time of all its processes."""
    device_seconds: float
    """Working time of all devices."""


def time_spent(memory: Memory, runner: str | None = None, but: str | None = None) -> Spent:
    """What one runner has spent, or all together.

    Args:
        memory: the study.
        runner: whose account; None sums them, with what studies kept that were begun before there were several.
        but: whose account to leave out of the sum.
    """
    kept = memory.recall_all("")
    accounts = {key.removeprefix(_SPENT): kept[key] for key in kept if key.startswith(_SPENT)}
    if runner is not None:
        return Spent(*accounts.get(runner, (0.0, 0.0)))
    found = [of for name, of in accounts.items() if name != but]
    found.append((float(kept.get(_SECONDS) or 0.0), float(kept.get(_DEVICE_SECONDS) or 0.0)))
    return Spent(sum(seconds for seconds, _ in found), sum(device for _, device in found))


def remember_time(memory: Memory, runner: str, account: Spent) -> None:
    """Writes a runner's account."""
    memory.remember(_SPENT + runner, list(account))
