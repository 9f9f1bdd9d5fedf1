"""Seeds are functions of what they are for."""

from __future__ import annotations

import hashlib

import torch

from trainer.seeds import derive, generator


def test_a_seed_is_the_top_63_bits_of_a_hash() -> None:
    digest = hashlib.sha256(b"5/noise/17").hexdigest()
    assert derive(5, "noise", 17) == int(digest[:16], 16) // 2


def test_positions_have_seeds_of_their_own() -> None:
    seeds = {derive(study, purpose, i) for study in range(3) for purpose in ("a", "b") for i in range(200)}
    assert len(seeds) == 1200
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_a_generator_ignores_the_global_one() -> None:
    first = torch.rand(3, generator=generator("x", 1))
    torch.manual_seed(5)
    assert torch.equal(torch.rand(3, generator=generator("x", 1)), first)
