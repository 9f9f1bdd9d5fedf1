"""Text as the U-Net reads it: rows are taken, joined and stacked for both tensors alike."""

from __future__ import annotations

import pytest
import torch

from trainer.bases.conditioning import Conditioning, Framing


def told(rows: int, pooled: bool) -> Conditioning:
    source = torch.Generator().manual_seed(rows)
    embeddings = torch.randn(rows, 7, 3, generator=source)
    return Conditioning(embeddings, torch.randn(rows, 2, generator=source) if pooled else None)


@pytest.mark.parametrize("pooled", [False, True])
def test_joining_and_indexing_keep_rows_together(pooled: bool) -> None:
    first, second = told(2, pooled), told(3, pooled)
    joined = Conditioning.cat([first, second])[torch.tensor([4, 0])]
    assert torch.equal(joined.embeddings, torch.stack([second.embeddings[2], first.embeddings[0]]))
    assert (joined.pooled is not None) is pooled
    if pooled and joined.pooled is not None and first.pooled is not None and second.pooled is not None:
        assert torch.equal(joined.pooled, torch.stack([second.pooled[2], first.pooled[0]]))


@pytest.mark.parametrize("pooled", [False, True])
def test_stacking_makes_an_axis_that_flattens_away_again(pooled: bool) -> None:
    parts = [told(2, pooled), told(2, pooled)]
    stacked = Conditioning.stack(parts)
    assert stacked.embeddings.shape == (2, 2, 7, 3)
    flat, joined = stacked.map(lambda tensor: tensor.flatten(0, 1)), Conditioning.cat(parts)
    assert torch.equal(flat.embeddings, joined.embeddings)
    assert (flat.pooled is None and joined.pooled is None) or torch.equal(flat.pooled, joined.pooled)  # type: ignore[arg-type]


def test_sizes_are_heights_before_widths() -> None:
    assert Framing(original=(640, 480), crop=(8, 16), target=(512, 384)).time_ids == (
        480,
        640,
        16,
        8,
        384,
        512,
    )
    assert Framing.whole((64, 32)).time_ids == (32, 64, 0, 0, 32, 64)
