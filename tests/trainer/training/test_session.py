"""What every training begins with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.trainer.driving import equal, state, steps, train
from trainer.bases.errors import BaseModelError
from trainer.data.caches import TensorCache
from trainer.data.dataset import Dataset
from trainer.data.encoded import Encoded
from trainer.lora_files import merging
from trainer.plan import TrainingPlan
from trainer.training import session


def test_an_opened_pack_trains_like_one_put_together_by_hand(
    few_dataset: Dataset, make_plan: Callable[..., TrainingPlan], tmp_path: Path
) -> None:
    plan = make_plan(rank=2)
    pack = session.open(plan, few_dataset, tmp_path / "cache", 3)
    assert (pack.bank.capacity, pack.limit, pack.runs) == (3, 3, {})
    pack.admit(0, plan)
    steps(pack, 3)
    by_hand = Encoded(few_dataset, merging.loaded(plan), TensorCache(tmp_path / "other"))
    assert equal(state(pack, 0), train(by_hand, plan, 3))
    assert sorted(path.name for path in (tmp_path / "cache").rglob("*.safetensors")) == sorted(
        path.name for path in (tmp_path / "other").rglob("*.safetensors")
    )


def test_a_base_model_that_is_missing_is_said(
    few_dataset: Dataset, make_plan: Callable[..., TrainingPlan], tmp_path: Path
) -> None:
    with pytest.raises(BaseModelError, match="missing"):
        session.open(make_plan(path=tmp_path / "missing"), few_dataset, tmp_path / "cache", 1)
