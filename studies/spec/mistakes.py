"""What pydantic finds wrong with a file, as values and in words (pure)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pydantic import ValidationError

from studies.errors import shown

Place = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Mistake:
    """One thing that is wrong."""

    kind: Literal["missing", "unknown", "rule", "value"]
    """A key that is not there; one that means nothing; a check of ours that fails; a value of the wrong kind."""
    where: Place
    """Keys and indices from the outermost on."""
    text: str
    """What the check says; of a wrong value, what it should be, with the value."""

    def words(self, unknown: str) -> str:
        """In words.

        Args:
            unknown: what is said of a key that means nothing.
        """
        return {"missing": "is missing", "unknown": unknown}.get(self.kind, self.text)


def mistakes(error: ValidationError) -> list[Mistake]:
    """All that a validation found."""
    found = []
    for one in error.errors():
        where = tuple(one["loc"])
        match one:
            case {"type": "missing"}:
                found.append(Mistake("missing", where, ""))
            case {"type": "extra_forbidden"}:
                found.append(Mistake("unknown", where, ""))
            case {"type": "value_error", "ctx": {"error": problem}}:
                found.append(Mistake("rule", where, str(problem)))
            case {"msg": message, "input": value}:
                text = f"{message[0].lower()}{message[1:]}, but got {shown(value)}"
                found.append(Mistake("value", where, text))
    return found
