"""Network, recipe and base at once: what each brings must hold beside the others."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.trainer.driving import equal, pack, relative_difference, state, steps
from trainer.bases.base_model import BaseModel
from trainer.data.dataset import Dataset
from trainer.data.encoded import Encoded
from trainer.lora_files import file
from trainer.plan import TrainingPlan
from trainer.training.checkpoints import save_state
from trainer.training.pack import Pack
from trainer.training.run import shape_of

Load = Callable[..., BaseModel]
Encode = Callable[[Dataset, BaseModel], Encoded]
Plans = Callable[..., TrainingPlan]
Make = Callable[[], Pack]

TRIALS: dict[str, dict[str, Any]] = {
    "convolutions": {
        "rank": 3,
        "conv_rank": 2,
        "conv_alpha_over_rank": 0.9,
        "block_lrs": {"up_blocks.0": 0.5},
        "lora_plus_ratio": 4.0,
        "max_weight_norm": 0.02,
        "gradient_accumulation": 2,
        "decay": 0.6,
    },
    "dropout": {
        "rank": 2,
        "dropout": 0.3,
        "text_encoder": True,
        "text2_lr_over_unet_lr": 2.0,
        "text_stop_share": 0.3,
        "decay": 0.5,
    },
    "dora": {
        "rank": 3,
        "conv_rank": 2,
        "dora": True,
        "scaling": "alpha/sqrt(rank)",
        "text_encoder": True,
        "block_lrs": {"up_blocks.0": 0.5},
        "lora_plus_ratio": 4.0,
        "max_weight_norm": 0.02,
        "decay": 0.6,
    },
    "lokr": {
        "algorithm": "lokr",
        "rank": 2,
        "conv_rank": 1,
        "text_encoder": True,
        "text2_lr_over_unet_lr": 0.2,
        "text_stop_share": 0.3,
        "gradient_accumulation": 2,
        "decay": 0.6,
    },
}
COUNT = 5
"""Steps of an epoch; the second one is taken after the pack has changed."""


@pytest.fixture
def make(load_base: Load, micro_sdxl: Path, few_dataset: Dataset, encode: Encode) -> Make:
    return lambda: pack(encode(few_dataset, load_base(micro_sdxl, torch.float64)), 5)


def test_packed_trials_equal_the_same_trials_alone_and_resume_exactly(
    make: Make, make_plan: Plans, tmp_path: Path
) -> None:
    training = make()
    plans = {trial: make_plan(epochs=2, **fields) for trial, fields in enumerate(TRIALS.values())}
    training.admit(9, make_plan(rank=8, conv_rank=4, epochs=99, dropout=0.5))
    for trial, plan in plans.items():
        training.admit(trial, plan)
    steps(training, 2)
    training.evict(9)
    steps(training, COUNT - 2 + 2)
    for trial, plan in plans.items():
        alone = make()
        alone.admit(trial, plan)
        steps(alone, COUNT)
        save_state(tmp_path / "state", alone.runs[trial], alone.bank)
        steps(alone, 2)
        with alone.shown([trial]), training.shown([trial]):
            assert relative_difference(state(training, trial), state(alone, trial)) < 1e-8
        ended = state(alone, trial)
        alone.evict(trial)
        alone.admit(trial, plan, tmp_path / "state")
        steps(alone, 2)
        assert equal(state(alone, trial), ended)


@pytest.mark.parametrize("name", TRIALS)
def test_the_average_is_what_the_file_holds_and_a_slot_reads_back(
    make: Make, make_plan: Plans, name: str, tmp_path: Path
) -> None:
    training, names = make(), make().base.kohya_names
    plan = make_plan(epochs=2, **TRIALS[name])
    run = training.admit(0, plan)
    steps(training, COUNT)
    with training.shown([0]):
        averaged = state(training, 0)
        tensors = file.slot_keys(training.bank, run.slot, names)
    assert not equal(averaged, state(training, 0))
    file.write(tmp_path / "trial.safetensors", tensors, {}, "no")
    training.bank.open(3, shape_of(plan), 1)
    file.load_slot(training.bank, 3, file.read(tmp_path / "trial.safetensors").tensors, names)
    assert relative_difference(training.bank.state(3), averaged) < 1e-6
    with pytest.raises(file.LoraFileError):
        file.load_slot(training.bank, 3, {"lora_unet_nowhere.lora_down.weight": torch.ones(1, 1)}, names)


@pytest.mark.parametrize("fields", [{}, {"algorithm": "loha", "rank": 2}])
def test_each_text_encoder_of_sdxl_has_its_rate_whatever_the_algorithm(
    make: Make, make_plan: Plans, fields: dict[str, Any]
) -> None:
    plan = make_plan(
        unet_lr=1e-3, text_encoder=True, text_lr_over_unet_lr=0.5, text2_lr_over_unet_lr=0.1, **fields
    )
    groups = make().admit(0, plan).stepper.optimiser.param_groups
    assert [group["lr"] for group in groups] == pytest.approx([1e-3, 5e-4, 1e-4])
    assert all(group["params"] for group in groups)
