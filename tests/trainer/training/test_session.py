"""What every training begins with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.trainer.driving import equal, state, steps, train
from trainer.adapters.linear import BankedLinear
from trainer.adapters.stored import StoredLinear
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


@pytest.mark.parametrize("form", ["bf16", "fp8", "int8", "nf4"])
def test_a_pack_is_opened_on_a_stored_base_that_idles_elsewhere(
    few_dataset: Dataset, make_plan: Callable[..., TrainingPlan], tmp_path: Path, form: str
) -> None:
    plan = make_plan(rank=2, base_format=form, offload="all", gradient_checkpointing="auto")
    pack = session.open(plan, few_dataset, tmp_path / "cache", 2)
    assert pack.base.residency.moves
    assert not pack.base.unet.is_gradient_checkpointing  # on a CPU
    inside = [
        module.inner
        for name, module in pack.base.unet.named_modules()
        if isinstance(module, BankedLinear) and "transformer_blocks" in name
    ]
    assert inside and all(isinstance(inner, StoredLinear) for inner in inside)
    pack.admit(0, plan)
    steps(pack, 2)
    by_hand = Encoded(few_dataset, merging.loaded(plan), TensorCache(tmp_path / "other"))
    settled = plan.model_copy(
        update={"compute": plan.compute.model_copy(update={"gradient_checkpointing": False})}
    )
    assert equal(state(pack, 0), train(by_hand, settled, 2))


@pytest.mark.parametrize("values", [{"dora": True}, {"algorithm": "loha"}])
def test_what_reads_whole_weights_is_refused_on_a_stored_base(
    make_plan: Callable[..., TrainingPlan], values: dict[str, object]
) -> None:
    with pytest.raises(ValueError, match=r"compute\.base_format = 'nf4' does not keep"):
        make_plan(rank=2, base_format="nf4", **values)
