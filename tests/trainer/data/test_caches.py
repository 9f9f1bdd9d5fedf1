"""What was made once is not made again, in memory or on disk."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from trainer.data.caches import TensorCache


def never() -> torch.Tensor:
    pytest.fail("made again")


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_a_tensor_is_made_once_and_comes_back_alike(tmp_path: Path, dtype: torch.dtype) -> None:
    made = torch.randn(3, 4).to(dtype).T
    cache = TensorCache(tmp_path)
    assert torch.equal(cache.get(("latents", "abc", (64, 64)), lambda: made), made)
    assert torch.equal(cache.get(("latents", "abc", (64, 64)), never), made)
    reopened = TensorCache(tmp_path).get(("latents", "abc", (64, 64)), never)
    assert torch.equal(reopened, made)
    assert reopened.dtype == dtype


def test_other_parts_are_another_tensor(tmp_path: Path) -> None:
    cache = TensorCache(tmp_path)
    cache.get(("a", "bc"), lambda: torch.zeros(1))
    assert cache.get(("ab", "c"), lambda: torch.ones(1)).item() == 1
