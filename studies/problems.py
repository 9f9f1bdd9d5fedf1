"""Trouble that a user can mend: sentences, never tracebacks."""

from __future__ import annotations

from collections.abc import Iterable

LONGEST = 120
"""Letters of a quoted value."""


class StudyError(Exception):
    """What is wrong with a study, its files or its command; each of ``problems`` is a sentence."""

    def __init__(self, problems: str | Iterable[str]) -> None:
        found = [problems] if isinstance(problems, str) else problems
        self.problems = [f"{text}." if text[-1:].isalnum() else text for text in found]
        super().__init__("\n".join(self.problems))


def shown(value: object) -> str:
    """A value as errors quote it."""
    text = repr(value)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
