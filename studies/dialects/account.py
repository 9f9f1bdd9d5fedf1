"""What becomes of a configuration's keys, as a person is told it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from studies.errors import shown


@dataclass(frozen=True, slots=True)
class Unmet:
    """A key that could not be honoured, and why."""

    key: str
    reason: str

    def __str__(self) -> str:
        return f"{self.key}: {self.reason}"


@dataclass(slots=True, kw_only=True)
class Account:
    """Notes that are taken while keys are read."""

    unmet: list[Unmet] = field(default_factory=list)
    converted: list[str] = field(default_factory=list)
    """Values that mean something else here, each with what became of it."""
    problems: list[str] = field(default_factory=list)

    def refuse(self, key: str, reason: str) -> None:
        """Notes that a key could not be honoured."""
        self.unmet.append(Unmet(key, reason))

    def convert(self, key: str, text: str) -> None:
        """Notes what became of a value that means something else here."""
        self.converted.append(f"{key}: {text}")

    def wrong(self, key: str, wanted: object, value: Any) -> None:
        """Notes that a key holds what it cannot hold."""
        self.problems.append(f"{key} must be {wanted}, but got {shown(value)}.")
