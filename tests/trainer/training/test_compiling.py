"""Training with compiled blocks, and what it needs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tests.trainer.driving import pack, relative_difference, state, steps
from trainer.adapters.bank import AdapterBank
from trainer.bases.base_model import BaseModel
from trainer.bases.errors import BaseModelError
from trainer.data.dataset import Dataset
from trainer.data.encoded import Encoded
from trainer.plan import TrainingPlan
from trainer.training import compiling, session

Plans = Callable[..., TrainingPlan]


def test_a_compiled_pack_trains_what_a_plain_one_does(
    tiny_base: Callable[..., BaseModel],
    few_dataset: Dataset,
    encode: Callable[[Dataset, BaseModel], Encoded],
    make_plan: Plans,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = AdapterBank.compile
    monkeypatch.setattr(AdapterBank, "compile", lambda self, model: real(self, model, "aot_eager"))
    torch._dynamo.reset()
    trained = []
    for compiled in (False, True):
        training = pack(
            encode(few_dataset, tiny_base()), 2, compile=compiled, gradient_checkpointing=compiled
        )
        training.admit(0, make_plan(rank=2, text_encoder=True, epochs=9))
        training.admit(1, make_plan(rank=4, batch_size=2, epochs=9))
        steps(training, 6)
        trained.append([state(training, trial) for trial in (0, 1)])
    for plain, other in zip(*trained, strict=True):
        assert relative_difference(other, plain) < 1e-3


def test_without_a_compiler_it_is_said_before_anything_is_loaded(
    few_dataset: Dataset, make_plan: Plans, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert compiling.compiler() is None
    with pytest.raises(BaseModelError, match=r"compute.compile = true needs a C\+\+ compiler"):
        session.open(make_plan(compile=True), few_dataset, tmp_path / "cache", 1)
