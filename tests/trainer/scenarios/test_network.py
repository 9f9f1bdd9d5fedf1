"""Convolutions, dropouts, blocks: what a trial's network is, in packs, alone and against PEFT."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.trainer.driving import equal, pack, relative_difference, state, steps, train
from tests.trainer.training.test_pack import peft_loop
from trainer.bases.base_model import BaseModel
from trainer.data.dataset import Dataset
from trainer.data.encoded import Encoded
from trainer.plan import TrainingPlan
from trainer.training.checkpoints import save_state
from trainer.training.pack import Pack

Bases = Callable[..., BaseModel]
Encode = Callable[[Dataset, BaseModel], Encoded]
Plans = Callable[..., TrainingPlan]

MIXED: dict[int, dict[str, Any]] = {
    1: {"rank": 3, "conv_rank": 2, "conv_alpha_over_rank": 0.7, "batch_size": 2},
    2: {"rank": 4, "dropout": 0.3, "rank_dropout": 0.2, "module_dropout": 0.2, "text_encoder": True},
    3: {
        "rank": 2,
        "batch_size": 2,
        "block_ranks": {"mid_block": 5, "up_blocks.0": 0},
        "block_lrs": {"mid_block": 0.5},
        "conv_rank": 6,
        "rank_dropout": 0.5,
    },
    4: {"rank": 6, "freeze": ["down_blocks", "mid_block"], "optimiser": "lion"},
    5: {"rank": 1, "conv_rank": 1, "dropout": 0.1},
    6: {"rank": 2},
    7: {"rank": 4, "conv_rank": 2, "dora": True, "scaling": "alpha/sqrt(rank)", "text_encoder": True},
}


@pytest.fixture
def mixed(make_plan: Plans) -> dict[int, TrainingPlan]:
    return {trial: make_plan(epochs=99, **fields) for trial, fields in MIXED.items()}


def test_packed_trials_of_all_kinds_equal_the_same_trials_alone(
    tiny_base: Bases, few_dataset: Dataset, encode: Encode, make_plan: Plans, mixed: dict[int, TrainingPlan]
) -> None:
    """A neighbour leaves after 2 of 6 steps, and one of larger ranks comes after 4."""
    training = pack(encode(few_dataset, tiny_base(torch.float64)), 8)
    training.admit(100, make_plan(rank=4, conv_rank=3, dropout=0.5, epochs=99))
    for trial, plan in mixed.items():
        training.admit(trial, plan)
    steps(training, 2)
    training.evict(100)
    steps(training, 2)
    training.admit(101, make_plan(rank=9, conv_rank=9, batch_size=3, module_dropout=0.5, epochs=99))
    steps(training, 2)
    for trial, plan in mixed.items():
        alone = train(encode(few_dataset, tiny_base(torch.float64)), plan, 6)
        assert relative_difference(state(training, trial), alone) < 1e-8


def test_a_resumed_trial_with_convolutions_and_dropout_equals_an_uninterrupted_one(
    tiny_base: Bases, few_dataset: Dataset, encode: Encode, mixed: dict[int, TrainingPlan], tmp_path: Path
) -> None:
    plan = mixed[3]
    whole = pack(encode(few_dataset, tiny_base(torch.float64)), 1)
    whole.admit(0, plan)
    half = len(few_dataset.split.train) // 2 + 1
    steps(whole, half)
    save_state(tmp_path / "state", whole.runs[0], whole.bank)
    steps(whole, 4)
    resumed = pack(encode(few_dataset, tiny_base(torch.float64)), 1)
    resumed.admit(0, plan, tmp_path / "state")
    steps(resumed, 4)
    assert equal(state(resumed, 0), state(whole, 0))


@pytest.mark.parametrize(
    "fields",
    [
        {"conv_rank": 2, "conv_alpha_over_rank": 0.7},
        {"block_ranks": {"mid_block": 5, "up_blocks": 1, "up_blocks.0.attentions.1": 4}},
        {"freeze": ["mid_block", "down_blocks"], "conv_rank": 2},
    ],
    ids=["convolutions", "block ranks", "frozen blocks"],
)
def test_one_slot_equals_peft_in_a_plain_loop(
    tiny_base: Bases, few_dataset: Dataset, encode: Encode, make_plan: Plans, fields: dict[str, Any]
) -> None:
    plan = make_plan(rank=3, alpha_over_rank=0.4, batch_size=2, epochs=9, max_grad_norm=0.05, **fields)
    data = encode(few_dataset, tiny_base(torch.float64))
    training = pack(data, 2)
    training.admit(0, plan)
    expected = peft_loop(tiny_base(torch.float64), data, plan, state(training, 0), 5)
    steps(training, 5)
    assert relative_difference(state(training, 0), expected) < 1e-8


def test_convolutions_adapt_the_layers_that_kohya_adapts(
    tiny_base: Bases, few_dataset: Dataset, encode: Encode, make_plan: Plans
) -> None:
    training = pack(encode(few_dataset, tiny_base()), 2)
    training.admit(0, make_plan(rank=3, conv_rank=2))
    found = state(training, 0)
    ranks = {name.removesuffix(".down"): len(value) for name, value in found.items() if "down" in name[-5:]}
    base = tiny_base()
    blocks = ("ResnetBlock2D", "Downsample2D", "Upsample2D", "Transformer2DModel")
    expected = {}
    for name, block in base.unet.named_modules():
        if type(block).__name__ not in blocks:
            continue
        for inner, module in block.named_modules():
            if isinstance(module, torch.nn.Linear | torch.nn.Conv2d):
                expected[f"unet.{name}.{inner}"] = 2 if module.weight.shape[2:] == (3, 3) else 3
    assert ranks == expected
    assert sum(rank == 2 for rank in ranks.values()) > 10


def test_a_slot_without_convolutions_pays_nothing_for_those_of_others(
    tiny_base: Bases, few_dataset: Dataset, encode: Encode, make_plan: Plans
) -> None:
    training = pack(encode(few_dataset, tiny_base()), 2)
    training.admit(0, make_plan(rank=3))
    before = training.bank.gradients(0).numel()
    training.admit(1, make_plan(rank=3, conv_rank=2))
    assert training.bank.gradients(0).numel() > before
    training.evict(1)
    assert all("resnets" not in name for name in state(training, 0))


def test_frozen_blocks_have_no_weights_and_the_others_are_trained(
    tiny_base: Bases, few_dataset: Dataset, encode: Encode, make_plan: Plans
) -> None:
    plan = make_plan(freeze=["mid_block", "up_blocks.0.attentions.1"], block_lrs={"down_blocks": 0.0})
    found = train(encode(few_dataset, tiny_base()), plan, 3)
    everything = train(encode(few_dataset, tiny_base()), make_plan(), 3)
    missing = {name for name in everything if name not in found}
    frozen = ("unet.mid_block.", "unet.up_blocks.0.attentions.1.", "unet.down_blocks.")
    assert missing == {name for name in everything if name.startswith(frozen)}
    assert missing
    assert all(float(value.abs().max()) > 0 for value in found.values())


def test_half_the_rate_of_a_block_is_half_the_step_there_and_the_whole_elsewhere(
    tiny_base: Bases, few_dataset: Dataset, encode: Encode, make_plan: Plans
) -> None:
    data = encode(few_dataset, tiny_base(torch.float64))
    plain = train(data, make_plan(weight_decay=0.0), 1)
    data = encode(few_dataset, tiny_base(torch.float64))
    halved = train(data, make_plan(weight_decay=0.0, block_lrs={"mid_block": 0.5}), 1)
    for name, value in plain.items():
        if name.endswith(".up"):
            share = 0.5 if ".mid_block." in name else 1.0
            torch.testing.assert_close(halved[name], share * value, rtol=1e-12, atol=0)


def test_an_unknown_block_is_an_error_that_names_the_choices(
    tiny_base: Bases, few_dataset: Dataset, encode: Encode, make_plan: Plans
) -> None:
    training = pack(encode(few_dataset, tiny_base()), 2)
    with pytest.raises(ValueError, match=r"lora.freeze: .* 'down_blocks.7'.*down_blocks.1, mid_block, up_b"):
        training.admit(0, make_plan(freeze=["down_blocks.7"]))
    training.admit(0, make_plan())
    assert state(training, 0)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"freeze": ["middle_block"]}, "no block 'middle_block'.*down_blocks.0"),
        ({"block_lrs": {"mid_block": -1.0}}, r"block_lrs.mid_block must be between 0 and 100, but got -1"),
        ({"block_ranks": {"mid_block": 2000}}, r"block_ranks.mid_block must be between 0 and 1024"),
        ({"conv_rank": 4, "unet": False, "text_encoder": True}, "conv_rank = 4 acts on the U-Net"),
        ({"block_lrs": {"mid_block": 0.5}, "optimiser": "prodigy"}, "block_lrs needs several learning rates"),
    ],
)
def test_impossible_networks_are_refused(make_plan: Plans, fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_plan(**fields)


def outputs(training: Pack, slots: list[int | None], presentations: list[int] | None) -> torch.Tensor:
    """What the U-Net says to the same input in every row."""
    base, source = training.base, torch.Generator().manual_seed(0)
    x = torch.randn(1, 4, 16, 16, generator=source).to(base.dtype).expand(len(slots), -1, -1, -1)
    text = torch.randn(1, 77, base.unet.config.cross_attention_dim, generator=source).to(base.dtype)
    with torch.no_grad(), training.bank.rows(slots, presentations):
        said: torch.Tensor = base.unet(x, torch.tensor(500), text.expand(len(slots), -1, -1)).sample
    return said


@pytest.mark.parametrize("kind", ["dropout", "rank_dropout", "module_dropout"])
def test_dropout_acts_in_training_by_presentation_and_never_in_judging(
    tiny_base: Bases, few_dataset: Dataset, encode: Encode, make_plan: Plans, kind: str
) -> None:
    training = pack(encode(few_dataset, tiny_base(torch.float64)), 3)
    training.admit(0, make_plan(rank=4, conv_rank=2, epochs=99))
    training.admit(1, make_plan(rank=4, conv_rank=2, epochs=99, **{kind: 0.5}))
    steps(training, 2)
    training.bank.load(1, state(training, 0))
    judged = outputs(training, [0, 1], None)
    torch.testing.assert_close(judged[0], judged[1], rtol=1e-12, atol=1e-13)
    shown = outputs(training, [0, 1, 1, 1], [7, 7, 7, 8])
    torch.testing.assert_close(shown[0], judged[0], rtol=1e-12, atol=1e-13)
    torch.testing.assert_close(shown[1], shown[2], rtol=1e-12, atol=1e-13)
    assert not torch.allclose(shown[1], shown[0], rtol=1e-6)
    assert not torch.allclose(shown[1], shown[3], rtol=1e-6)
