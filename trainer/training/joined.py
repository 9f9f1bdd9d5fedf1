"""Groups of leaf tensors, each as one flat parameter while an optimiser looks at it: one pass in place of hundreds.

Optimisers whose update of a number depends on that number and on sums over all of them cannot tell the difference.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn


class Joined:
    """Parameter groups with one flat parameter each.

    Where leaf tensors and gradients lie one after another in memory the flat parameter is a view of them; else they
    are copied, and the flat parameter takes memory only while it is gathered. Its numbers stand in the order of the
    leaves either way.

    Args:
        groups: each with "params", the leaf tensors, which have their gradients.
    """

    def __init__(self, groups: Sequence[dict[str, Any]]) -> None:
        self._leaves: list[list[nn.Parameter]] = [list(group["params"]) for group in groups]
        self._flat = [nn.Parameter(torch.empty(0).to(leaves[0])) for leaves in self._leaves]
        self.groups = [{**group, "params": [flat]} for group, flat in zip(groups, self._flat, strict=True)]
        """The groups for the optimiser."""

    @contextmanager
    def gathered(self, changes: str = "values") -> Iterator[None]:
        """While it lasts the flat parameters hold the leaves' values and gradients; groups without have none.

        Args:
            changes: which of them are brought back to the leaves: "values" or "gradients".
        """
        for leaves, flat in zip(self._leaves, self._flat, strict=True):
            flat.data = _flat([leaf.data for leaf in leaves])
            gradients = [leaf.grad for leaf in leaves if leaf.grad is not None]
            flat.grad = _flat(gradients) if gradients else None
        yield
        for leaves, flat in zip(self._leaves, self._flat, strict=True):
            if flat.grad is not None:
                if changes == "values":
                    _bring_back([leaf.data for leaf in leaves], flat.data)
                else:
                    _bring_back([leaf.grad for leaf in leaves if leaf.grad is not None], flat.grad)
            flat.grad, flat.data = None, flat.data.new_empty(0)


def _flat(parts: Sequence[Tensor]) -> Tensor:
    """All numbers, one part after another; without a copy where they lie like that."""
    if not _adjacent(parts):
        return torch.cat([part.flatten() for part in parts])
    first = parts[0]
    return first.as_strided((sum(part.numel() for part in parts),), (1,), first.storage_offset())


def _bring_back(parts: Sequence[Tensor], flat: Tensor) -> None:
    if not _adjacent(parts):
        pieces = torch.split(flat, [part.numel() for part in parts])
        torch._foreach_copy_(
            list(parts), [piece.view_as(part) for piece, part in zip(pieces, parts, strict=True)]
        )


def _adjacent(parts: Sequence[Tensor]) -> bool:
    place, owner = parts[0].data_ptr(), parts[0].untyped_storage().data_ptr()
    for part in parts:
        inside = part.data_ptr() == place and part.untyped_storage().data_ptr() == owner
        if not (inside and part.is_contiguous()):
            return False
        place += part.nbytes
    return True
