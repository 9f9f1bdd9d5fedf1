"""An exponential moving average of a slot's weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn


def decay_at(update: int, decay: float) -> float:
    """Share of the old average that the update with this number (1 is the first) keeps.

    It warms up as in diffusers' ``EMAModel``: 0 at first, then min(decay, (1 + n) / (10 + n)) with n = update - 1.
    """
    earlier = update - 1
    return min(decay, (1 + earlier) / (10 + earlier)) if earlier > 0 else 0.0


class Average:
    """The moving average of some leaf tensors.

    Args:
        decay: share of the old average kept, once warmed up.
        leaves: what is averaged, by name; the average starts from their present values.
    """

    def __init__(self, decay: float, leaves: Mapping[str, nn.Parameter]) -> None:
        self._decay = decay
        self._leaves = leaves
        self._values = {name: leaf.detach().clone() for name, leaf in leaves.items()}
        self._updates = 0

    @torch.no_grad()
    def update(self) -> None:
        """Takes in the present weights, after an optimiser step."""
        self._updates += 1
        share = 1 - decay_at(self._updates, self._decay)
        torch._foreach_lerp_(list(self._values.values()), list(self._leaves.values()), share)

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Puts the average in the place of the weights; afterwards they are exactly as before."""
        kept = {name: leaf.detach().clone() for name, leaf in self._leaves.items()}
        self._put(self._values)
        try:
            yield
        finally:
            self._put(kept)

    def state_dict(self) -> dict[str, Any]:
        """All that is needed to go on."""
        return {"updates": self._updates, "values": dict(self._values)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """The inverse of ``state_dict``."""
        self._updates = state["updates"]
        for name, value in self._values.items():
            value.copy_(state["values"][name])

    @torch.no_grad()
    def _put(self, values: Mapping[str, Tensor]) -> None:
        for name, leaf in self._leaves.items():
            leaf.copy_(values[name])
