"""Trouble that a user can mend: sentences, never tracebacks."""

from __future__ import annotations

from collections.abc import Iterable


class StudyError(Exception):
    """What is wrong with a study, its files or its command; each of ``problems`` is a sentence."""

    def __init__(self, problems: str | Iterable[str]) -> None:
        self.problems = [problems] if isinstance(problems, str) else list(problems)
        super().__init__("\n".join(self.problems))
