"""Random numbers by position: every draw is a function of what it is for, never of what came before."""

from __future__ import annotations

import hashlib

import torch


def derive(*parts: int | str) -> int:
    """A 63-bit seed from the study seed and a position, e.g. ``derive(seed, "noise", 17)``."""
    digest = hashlib.sha256("/".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def generator(*parts: int | str) -> torch.Generator:
    """A CPU generator seeded by ``derive``, so that devices do not change the draw."""
    return torch.Generator().manual_seed(derive(*parts))
