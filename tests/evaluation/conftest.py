"""A bank with one empty and three filled slots beside the micro Stable Diffusion."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch

from evaluation.subject import Subject
from trainer.adapters.bank import AdapterBank, Shape
from trainer.adapters.wrapping import bank_for
from trainer.bases.base_model import BaseModel
from trainer.data.dataset import Dataset
from trainer.data.encoded import Encoded

SUBJECTS = (Subject(0), Subject(None), Subject(1), Subject(2, clip_skip=2))


@dataclass
class Stand:
    data: Encoded
    bank: AdapterBank


@pytest.fixture(scope="package")
def stand(
    tiny_base: Callable[..., BaseModel],
    few_dataset: Dataset,
    encode: Callable[[Dataset, BaseModel], Encoded],
) -> Stand:
    """Slot 0: U-Net, rank 4; slot 1: both, rank 2; slot 2: U-Net, rank 8; slot 3 is closed."""
    base = tiny_base()
    bank = bank_for(base, 4)
    parts = {0: (4, ("unet",)), 1: (2, ("unet", "text_encoder")), 2: (8, ("unet",))}
    for slot, (rank, prefixes) in parts.items():
        bank.open(slot, Shape(rank, 0.5, prefixes), seed=slot)
        fill(bank, slot)
    return Stand(encode(few_dataset, base), bank)


def fill(bank: AdapterBank, slot: int, strength: float = 0.1) -> None:
    source = torch.Generator().manual_seed(slot)
    state = bank.state(slot)
    bank.load(
        slot, {name: torch.randn(value.shape, generator=source) * strength for name, value in state.items()}
    )
