"""D-Adapted SGD that survives a warm-up."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import dadaptation


class DAdaptSGD(dadaptation.DAdaptSGD):  # type: ignore[misc]
    """``dadaptation``'s, but it waits while its first step would divide by zero.

    The library's first step divides by the norm of the gradients of all groups with a learning rate above 0,
    so that a schedule which starts at 0 ends in a ``ZeroDivisionError``.
    """

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step, or none while nothing could move."""
        if self.param_groups[0]["k"] == 0 and not self._can_move():
            return None
        return super().step(closure)

    def _can_move(self) -> bool:
        return any(
            leaf.grad is not None and bool(leaf.grad.any())
            for group in self.param_groups
            if group["lr"] > 0
            for leaf in group["params"]
        )
