"""LyCORIS algorithms in the pack against LyCORIS' own wrapper in a plain loop."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.trainer.driving import equal, pack, relative_difference, state, steps, train
from tests.trainer.training.test_pack import peft_loop
from trainer.adapters import lycoris_terms
from trainer.bases.base_model import BaseModel
from trainer.data.dataset import Dataset
from trainer.data.encoded import Encoded
from trainer.data.order import epoch_batches
from trainer.lora_files import file
from trainer.plan import TrainingPlan
from trainer.training.checkpoints import save_state
from trainer.training.run import shape_of

Bases = Callable[..., BaseModel]
Encode = Callable[[Dataset, BaseModel], Encoded]
Plans = Callable[..., TrainingPlan]

ALGORITHMS: dict[str, dict[str, Any]] = {
    "loha": {"rank": 2},
    "lokr": {"rank": 2, "algorithm_args": {"lokr": {"factor": 4, "decompose_both": True}}},
    "ia3": {"rank": 2},
    "diag-oft": {"rank": 4},
    "boft": {"rank": 4},
    "glora": {"rank": 2},
    "full": {},
    "dylora": {"rank": 4, "algorithm_args": {"dylora": {"block_size": 2}}},
}
SINGLE = ("diag-oft", "boft")
"""LyCORIS computes these in float32 only; their weights start at zero, where AdamW magnifies rounding."""


def wrapped(model: Any, plan: TrainingPlan) -> Any:
    """LyCORIS' own network on the blocks that kohya adapts."""
    from lycoris import LycorisNetwork, create_lycoris

    blocks = ["Transformer2DModel"]
    if plan.lora.conv_rank:
        blocks += ["ResnetBlock2D", "Downsample2D", "Upsample2D"]
    LycorisNetwork.apply_preset({"enable_conv": True, "target_module": blocks, "target_name": []})
    conv = plan.lora.conv_rank or plan.lora.rank
    with torch.random.fork_rng():
        network = create_lycoris(
            model,
            1.0,
            linear_dim=plan.lora.rank,
            linear_alpha=plan.lora.file_alpha,
            conv_dim=conv,
            conv_alpha=plan.lora.conv_alpha_over_rank * conv,
            algo=plan.lora.algorithm,
            **plan.lora.algorithm_args.get(plan.lora.algorithm, {}),
        )
    network.apply_to()
    return network.to(model.dtype)


def with_lycoris(
    part: str, model: Any, plan: TrainingPlan, start: dict[str, Tensor]
) -> dict[str, torch.nn.Parameter]:
    """The wrapper's parameters under the bank's names, with the values of ``start``."""
    found = {}
    modules = {module.lora_name: module for module in wrapped(model, plan).loras}
    for name, value in start.items():
        words = name.removeprefix(f"{part}.").split(".")
        ends = range(len(words))
        end = next(i for i in ends if "_".join(["lycoris", *words[:i]]) in modules)
        module = modules["_".join(["lycoris", *words[:end]])]
        found[name] = module.get_parameter(".".join(words[end:]))
        found[name].data = value.clone()
    assert len(found) == sum(len(list(module.parameters())) for module in modules.values())
    return found


def with_differences(
    part: str, model: Any, plan: TrainingPlan, start: dict[str, Tensor]
) -> dict[str, torch.nn.Parameter]:
    """LyCORIS' modules of ``full`` while they hold the difference, so that decay pulls towards the base."""
    from lycoris.modules.full import FullModule

    found = {}
    for layer in {name.rpartition(".")[0].removeprefix(f"{part}.") for name in start}:
        inner = model.get_submodule(layer)
        module = FullModule("", inner)
        inner.forward = module.forward
        found |= {f"{part}.{layer}.{name}": value for name, value in module.named_parameters()}
    return {name: found[name] for name in start}


def with_drawn_ranks(first: list[int], seed: int) -> Callable[..., dict[str, torch.nn.Parameter]]:
    """LyCORIS' own DyLoRA with the blocks that we draw for each step's first presentation.

    Blocks that were not drawn have a gradient of zero, not none, so that momentum and decay go on.
    """

    def inject(
        part: str, model: Any, plan: TrainingPlan, start: dict[str, Tensor]
    ) -> dict[str, torch.nn.Parameter]:
        found = with_lycoris(part, model, plan, start)
        layers = {name.split(".up_list")[0] for name in start if ".up_list" in name}
        for layer in layers:
            module = model.get_submodule(layer.removeprefix(f"{part}.")).forward.__self__
            module.get_random_rank_weight = drawn(module, layer, iter(first))
        return found

    def drawn(module: Any, layer: str, shown: Iterator[int]) -> Callable[[], Any]:
        def weight() -> Any:
            block = lycoris_terms.blocks(seed, layer, next(shown), module.block_count)
            down, up, scale = module.get_weight(block * module.block_size)
            zero = sum(parameter.sum() * 0 for parameter in module.parameters())
            return down + zero, up, scale

        return weight

    return inject


@pytest.mark.parametrize(
    ("algorithm", "more"),
    [
        *((name, {}) for name in ALGORITHMS),
        ("loha", {"conv_rank": 3}),
        ("lokr", {"conv_rank": 2}),
        ("glora", {"conv_rank": 2}),
        ("full", {"conv_rank": 1}),
        ("dylora", {"conv_rank": 4}),
    ],
)
def test_a_slot_among_others_equals_lycoris_own_wrapper_in_a_plain_loop(
    tiny_base: Bases,
    few_dataset: Dataset,
    encode: Encode,
    make_plan: Plans,
    algorithm: str,
    more: dict[str, Any],
) -> None:
    fields = {**ALGORITHMS[algorithm], "alpha_over_rank": 0.5, "batch_size": 2, "epochs": 9, **more}
    plan = make_plan(algorithm=algorithm, max_grad_norm=0.05, **fields)
    exact = algorithm not in SINGLE
    dtype = torch.float64 if exact else torch.float32
    data = encode(few_dataset, tiny_base(dtype))
    training = pack(data, 3)
    training.admit(1, make_plan(rank=3, epochs=99))
    training.admit(0, plan)
    inject: Callable[..., dict[str, torch.nn.Parameter]] = with_lycoris
    if algorithm == "full":
        inject = with_differences
    if algorithm == "dylora":
        epochs = (epoch_batches(few_dataset.deck, few_dataset.sizes, e, None, 2, plan.seed) for e in range(9))
        inject = with_drawn_ranks([batch.presentations[0] for epoch in epochs for batch in epoch], plan.seed)
    expected = peft_loop(tiny_base(dtype), data, plan, state(training, 0), 4, inject)
    steps(training, 2)
    training.evict(1)
    training.admit(2, make_plan(rank=8, conv_rank=2, batch_size=2, epochs=99))
    steps(training, 2)
    assert relative_difference(state(training, 0), expected) < (1e-8 if exact else 0.02)


def test_neighbours_of_another_algorithm_leave_a_lora_as_it_is_alone(
    tiny_base: Bases, few_dataset: Dataset, encode: Encode, make_plan: Plans
) -> None:
    plan = make_plan(rank=3, conv_rank=2, dropout=0.2, epochs=99)
    training = pack(encode(few_dataset, tiny_base(torch.float64)), 3)
    training.admit(1, make_plan(algorithm="loha", rank=2, text_encoder=True, epochs=99, unet_lr=0.01))
    training.admit(0, plan)
    training.admit(2, make_plan(algorithm="ia3", batch_size=2, epochs=99, unet_lr=0.01))
    steps(training, 4)
    alone = train(encode(few_dataset, tiny_base(torch.float64)), plan, 4)
    assert relative_difference(state(training, 0), alone) < 1e-8


def test_a_resumed_trial_equals_an_uninterrupted_one(
    tiny_base: Bases, few_dataset: Dataset, encode: Encode, make_plan: Plans, tmp_path: Path
) -> None:
    plan = make_plan(algorithm="lokr", rank=2, epochs=9)
    whole = pack(encode(few_dataset, tiny_base(torch.float64)), 1)
    whole.admit(0, plan)
    steps(whole, len(few_dataset.split.train))
    save_state(tmp_path / "state", whole.runs[0], whole.bank)
    steps(whole, 2)
    resumed = pack(encode(few_dataset, tiny_base(torch.float64)), 1)
    resumed.admit(0, plan, tmp_path / "state")
    steps(resumed, 2)
    assert equal(state(resumed, 0), state(whole, 0))


@pytest.mark.parametrize("algorithm", ["full", "glora", "dylora", "lokr"])
def test_a_half_precision_base_trains_weights_of_full_precision(
    tiny_base: Bases, few_dataset: Dataset, encode: Encode, make_plan: Plans, algorithm: str
) -> None:
    plan = make_plan(algorithm=algorithm, rank=4, epochs=9, unet_lr=1e-3, mixed_precision="bf16")
    training = pack(encode(few_dataset, tiny_base(torch.bfloat16)), 1, mixed_precision="bf16")
    training.admit(0, plan)
    before = state(training, 0)
    steps(training, 2)
    after = state(training, 0)
    assert {value.dtype for value in after.values()} == {torch.float32}
    assert all(value.isfinite().all() for value in after.values())
    assert not equal(before, after)


@pytest.mark.parametrize("algorithm", ["loha", "lokr", "glora", "full"])
@torch.no_grad()
def test_the_file_is_read_by_lycoris_and_by_us(
    tiny_base: Bases, few_dataset: Dataset, encode: Encode, make_plan: Plans, algorithm: str, tmp_path: Path
) -> None:
    plan = make_plan(algorithm=algorithm, rank=2, conv_rank=2, alpha_over_rank=0.5)
    training = pack(encode(few_dataset, tiny_base()), 2)
    training.admit(0, plan)
    bank, source = training.bank, torch.Generator().manual_seed(0)
    bank.load(0, {name: torch.randn(v.shape, generator=source) * 0.3 for name, v in bank.state(0).items()})
    path = tmp_path / "trial.safetensors"
    file.write(path, file.slot_keys(bank, 0, training.base.kohya_names), {}, "no")
    tensors = file.read(path).tensors

    bank.open(1, shape_of(plan), 1)
    file.load_slot(bank, 1, tensors, training.base.kohya_names)
    assert equal(bank.state(1), bank.state(0))

    network = wrapped(base := tiny_base().unet, plan)
    theirs = {key.replace("lora_unet_", "lycoris_", 1): value for key, value in tensors.items()}
    assert theirs.keys() == network.state_dict().keys()
    network.load_state_dict(theirs)
    x = torch.randn(1, 4, 16, 16, generator=source)
    text = torch.randn(1, 77, base.config.cross_attention_dim, generator=source)
    with bank.rows([0]):
        ours = training.base.unet(x, torch.tensor(300), text).sample
    bare = tiny_base().unet(x, torch.tensor(300), text).sample
    assert float((ours - bare).abs().max()) > 0.01
    torch.testing.assert_close(ours, base(x, torch.tensor(300), text).sample, rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_a_dylora_file_is_a_lora_of_the_full_rank(
    tiny_base: Bases, few_dataset: Dataset, encode: Encode, make_plan: Plans
) -> None:
    fields = {"rank": 4, "conv_rank": 2, "alpha_over_rank": 0.5}
    plan = make_plan(algorithm="dylora", algorithm_args={"dylora": {"block_size": 2}}, **fields)
    training = pack(encode(few_dataset, tiny_base()), 3)
    training.admit(0, plan)
    bank, source = training.bank, torch.Generator().manual_seed(0)
    bank.load(0, {name: torch.randn(v.shape, generator=source) * 0.3 for name, v in bank.state(0).items()})
    tensors = file.slot_keys(bank, 0, training.base.kohya_names)
    bank.open(1, shape_of(plan), 1)
    file.load_slot(bank, 1, tensors, training.base.kohya_names)
    assert equal(bank.state(1), bank.state(0))

    stem = "lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn1_to_q"
    blocks = 2
    scale = float(tensors[f"{stem}.alpha"]) / len(tensors[f"{stem}.lora_down.weight"])
    assert scale == pytest.approx(plan.lora.file_alpha / blocks)
    product = tensors[f"{stem}.lora_up.weight"] @ tensors[f"{stem}.lora_down.weight"] * scale
    layer = "unet.down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q"
    slot = bank.unpacked(0)
    assert slot is not None
    whole = slot.output(layer, torch.eye(product.shape[1])[None], torch.zeros(()), None)
    torch.testing.assert_close(whole[0].T, product)


def test_dylora_draws_every_block_alike_and_each_layer_for_itself() -> None:
    drawn = [lycoris_terms.blocks(0, "unet.a", place, 4) for place in range(2000)]
    counts = [drawn.count(block) for block in range(4)]
    assert sum(counts) == 2000
    assert all(430 < count < 570 for count in counts)
    assert drawn != [lycoris_terms.blocks(0, "unet.b", place, 4) for place in range(2000)]
    assert drawn != [lycoris_terms.blocks(1, "unet.a", place, 4) for place in range(2000)]
