"""Why training, or what it made, came to nothing: facts without words, and without torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Trouble:
    """What went wrong, for others to put into words.

    Attributes:
        code: names the kind, such as ``loss_not_finite``.
        values: what a sentence about it needs, as JSON scalars; numbers that are not finite as text.
    """

    code: str
    values: Mapping[str, bool | int | float | str] = field(default_factory=dict)
