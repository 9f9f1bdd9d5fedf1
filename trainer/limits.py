"""Work on many rows in portions that fit into memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from trainer.outcome import is_out_of_memory


@dataclass(frozen=True, slots=True)
class Limits:
    """How many rows of each kind of work fit at a time, as far as that was found out the hard way."""

    found: dict[str, int] = field(default_factory=dict)
    """By kind of work; where memory ran out it is half of what was tried, for good."""

    def run(self, kind: str, count: int, most: int, work: Callable[[slice], Tensor]) -> Tensor:
        """The results of all rows, one after the other along their first axis.

        Args:
            kind: of work; memory that ran out once is remembered for it.
            count: rows in all, at least one.
            most: rows at a time.
            work: from a slice of the rows to their results; it must leave nothing behind when it fails.

        Raises:
            torch.OutOfMemoryError: not even one row fits.
        """
        parts: list[Tensor] = []
        start = 0
        while start < count:
            size = max(1, min(most, self.found.get(kind, most)))
            take = slice(start, min(count, start + size))
            part = _attempted(work, take)
            if part is None:
                self.found[kind] = (take.stop - take.start) // 2
                _release()
                continue
            parts.append(part)
            start = take.stop
        return torch.cat(parts)


def _attempted(work: Callable[[slice], Tensor], take: slice) -> Tensor | None:
    """None where memory ran out and there are fewer rows to try."""
    try:
        return work(take)
    except (RuntimeError, MemoryError) as error:
        if take.stop - take.start == 1 or not is_out_of_memory(error):
            raise
        return None


def _release() -> None:
    """Gives back what the failed attempt held, once its error is forgotten."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
