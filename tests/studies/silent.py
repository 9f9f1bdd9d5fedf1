"""A watch that says nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from search.trial import Reason, TrialRecord


class Silent:
    """Ignores everything."""

    def phase(self, text: str) -> None: ...

    def started(self, number: int, values: Mapping[str, Any], resumed: bool) -> None: ...

    def stepped(self, images: int, loss: float) -> None: ...

    def checkpoint(self, number: int, card: Mapping[str, Any]) -> None: ...

    def returned(self, number: int, reason: Reason) -> None: ...

    def lost(self, number: int) -> None: ...

    def ended(self, record: TrialRecord) -> None: ...
