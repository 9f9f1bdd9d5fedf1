"""Where the time of a study's last run went."""

from __future__ import annotations

from typing import Self

from pydantic import BaseModel, ConfigDict

from search.memory import Memory

_REMEMBERED = "seconds_last_run"


class RunTimes(BaseModel):
    """Seconds of one run."""

    model_config = ConfigDict(frozen=True)

    training: float = 0.0
    """Working time of all devices."""
    judging: float = 0.0
    """Working time of all devices."""
    wall: float = 0.0
    """Of the whole run."""

    @classmethod
    def of(cls, memory: Memory) -> Self | None:
        """Those of the last run; None before there was one."""
        stored = memory.recall(_REMEMBERED)
        return None if stored is None else cls.model_validate(stored)

    def remember(self, memory: Memory) -> None:
        """Keeps them with the study."""
        memory.remember(_REMEMBERED, self.model_dump())
