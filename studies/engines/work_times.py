"""How long a device has worked."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, slots=True)
class WorkTimes:
    """Seconds by kind of work; for reports only, nothing depends on them."""

    seconds: dict[str, float] = field(default_factory=lambda: {"training": 0.0, "judging": 0.0})

    @contextmanager
    def timed(self, work: Literal["training", "judging"]) -> Iterator[None]:
        """Counts what is done while it lasts."""
        began = time.perf_counter()
        yield
        self.seconds[work] += time.perf_counter() - began
