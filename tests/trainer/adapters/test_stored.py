"""Frozen weights in fewer bits, beside bitsandbytes' own layers and the whole base."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.trainer.driving import pack, relative_difference, state, steps, train
from trainer.adapters.stored import Stored, StoredLinear, store
from trainer.adapters.targets import unet_targets
from trainer.bases.base_model import BaseModel
from trainer.bases.conditioning import Conditioning
from trainer.data.dataset import Dataset
from trainer.data.encoded import Encoded
from trainer.footprint.tracker import Tracker
from trainer.plan import TrainingPlan
from trainer.plans.compute import BaseFormat

Bases = Callable[..., BaseModel]
Encode = Callable[[Dataset, BaseModel], Encoded]
Plans = Callable[..., TrainingPlan]
ERRORS: dict[BaseFormat, tuple[float, float]] = {
    "fp32": (0, 0),
    "fp16": (1e-4, 4e-4),
    "bf16": (1e-3, 3e-3),
    "int8": (4e-3, 0.02),
    "fp8": (0.015, 0.04),
    "nf4": (0.06, 0.12),
}
"""Least and largest error of a normal weight, as a share of its norm."""
BYTES: dict[BaseFormat, float] = {"fp32": 4, "fp16": 2, "bf16": 2, "int8": 1, "fp8": 1, "nf4": 0.5}
PACKED: tuple[BaseFormat, ...] = ("fp8", "int8", "nf4")


def linear(form: BaseFormat, device: str = "cpu") -> tuple[nn.Linear, StoredLinear]:
    """A Linear, and the same with its weight stored."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        whole = nn.Linear(256, 192).requires_grad_(False)
        nn.init.normal_(whole.weight, std=0.05)
    network = nn.Sequential(nn.Linear(256, 192))
    network.load_state_dict({"0.weight": whole.weight, "0.bias": whole.bias})
    store(network.requires_grad_(False).to(device), ["0"], form)
    found = network[0]
    assert isinstance(found, StoredLinear)
    return whole, found


@pytest.mark.parametrize("form", ERRORS)
def test_a_stored_weight_is_near_the_whole_one_and_as_small_as_its_format(form: BaseFormat) -> None:
    whole, stored = linear(form)
    error = (stored.stored.dense(torch.float32) - whole.weight).norm() / whole.weight.norm()
    low, high = ERRORS[form]
    assert low <= float(error) <= high
    held = sum(part.nbytes for part in stored.stored.buffers())
    assert held == pytest.approx(BYTES[form] * whole.weight.numel(), rel=0.08)


@pytest.mark.parametrize("form", ERRORS)
def test_a_stored_layer_and_its_gradient_are_those_of_its_own_dense_weight(form: BaseFormat) -> None:
    whole, stored = linear(form)
    plain = nn.Linear(256, 192).requires_grad_(False)
    plain.load_state_dict({"weight": stored.stored.dense(torch.float32), "bias": whole.bias})
    found, wanted = ((x, layer(x)) for x, layer in ((given(), stored), (given(), plain)))
    torch.testing.assert_close(found[1], wanted[1])
    for _, y in (found, wanted):
        y.square().sum().backward()
    torch.testing.assert_close(found[0].grad, wanted[0].grad)


def given() -> Tensor:
    return torch.linspace(-1, 1, 4 * 256).view(4, 256).requires_grad_(True)


def test_nf4_is_what_bitsandbytes_own_layer_computes() -> None:
    from bitsandbytes.nn import Linear4bit

    whole, stored = linear("nf4")
    reference: Any = Linear4bit(256, 192, quant_type="nf4", compute_dtype=torch.float32)
    reference.load_state_dict(whole.state_dict())
    torch.testing.assert_close(stored(given()), reference.to("cpu")(given()), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("form", ERRORS)
def test_on_the_meta_device_the_parts_have_the_same_shapes(form: BaseFormat) -> None:
    (_, real), (_, shapes) = linear(form), linear(form, "meta")
    assert [(part.shape, part.dtype) for part in shapes.buffers()] == [
        (part.shape, part.dtype) for part in real.buffers()
    ]
    assert shapes.stored.dense(torch.bfloat16).shape == (192, 256)


@pytest.fixture
def stored_base(tiny_base: Bases) -> Callable[..., BaseModel]:
    """``stored_base(form, dtype)``: the tiny base with its U-Net's layers stored."""

    def make(form: BaseFormat, dtype: torch.dtype = torch.float32) -> BaseModel:
        base = tiny_base(dtype)
        store(base.unet, unet_targets(base.unet), form)
        return base

    return make


@pytest.mark.parametrize("form", PACKED)
def test_packed_trials_equal_solo_ones_on_a_stored_base(
    stored_base: Bases, few_dataset: Dataset, encode: Encode, make_plan: Plans, form: BaseFormat
) -> None:
    plans = [make_plan(rank=rank, unet_lr=lr, epochs=9) for rank, lr in ((4, 1e-3), (8, 3e-4), (2, 1e-3))]
    training = pack(encode(few_dataset, stored_base(form, torch.float64)), 4)
    for trial, plan in enumerate(plans):
        training.admit(trial, plan)
    steps(training, 4)
    for trial, plan in enumerate(plans):
        alone = train(encode(few_dataset, stored_base(form, torch.float64)), plan, 4)
        assert relative_difference(state(training, trial), alone) < 1e-8


@pytest.mark.parametrize("form", PACKED)
def test_checkpointing_changes_nothing_on_a_stored_base(
    stored_base: Bases, few_dataset: Dataset, encode: Encode, make_plan: Plans, form: BaseFormat
) -> None:
    plain, again = (
        train(encode(few_dataset, stored_base(form)), make_plan(rank=4, gradient_checkpointing=recomputes), 2)
        for recomputes in (False, True)
    )
    assert relative_difference(again, plain) < 1e-5


@torch.no_grad()
def said(base: BaseModel) -> Tensor:
    """A prediction of the base alone."""
    source = torch.Generator().manual_seed(3)
    latents = torch.randn(2, 4, 16, 16, generator=source)
    text = torch.randn(2, 77, base.unet.config.cross_attention_dim, generator=source)
    return base.predict(latents, torch.tensor([300, 700]), Conditioning(text), None)


def test_what_the_base_says_is_nearer_the_more_bits_it_has(fresh_base: Bases) -> None:
    whole, errors = said(fresh_base()), dict[str, float]()
    for form in ERRORS:
        base = fresh_base()
        store(base.unet, unet_targets(base.unet), form)
        errors[form] = float((said(base) - whole).norm() / whole.norm())
    assert errors["fp32"] == 0
    assert errors["fp16"] < errors["bf16"] < errors["int8"] < errors["fp8"] < errors["nf4"] < 0.25


def test_a_lora_trained_on_nf4_lowers_the_loss_of_the_whole_base_as_its_own_does(
    fresh_base: Bases, few_dataset: Dataset, encode: Encode, make_plan: Plans
) -> None:
    from evaluation.subject import Subject
    from evaluation.validation import cells, measure

    plan = make_plan(rank=8, unet_lr=3e-3, batch_size=5, epochs=99)
    judged = pack(encode(few_dataset, fresh_base()), 2)
    for slot, form in enumerate(("auto", "nf4")):
        base = fresh_base()
        store(base.unet, unet_targets(base.unet), form)  # type: ignore[arg-type]
        judged.admit(slot, plan)
        judged.bank.load(slot, train(encode(few_dataset, base), plan, 12))
    grid = [cells(judged.data, example, 8, 0) for example in few_dataset.split.train]
    subjects = [Subject(None), Subject(0), Subject(1)]
    bare, own, packed = measure(judged.data, judged.bank, subjects, grid, 32).log().mean(dim=(1, 2)).tolist()
    assert own - bare < -0.01
    assert packed - bare == pytest.approx(own - bare, rel=0.15)


def test_no_dense_weight_is_kept_for_the_backward_pass() -> None:
    _, stored = linear("nf4")
    x = given()
    with Tracker() as tracker:
        tracker.adopt([x, *stored.buffers(), *stored.parameters()])
        before = tracker.live
        y = stored(x)
        kept = tracker.live - before
    assert kept == y.nbytes
    assert tracker.peak - before >= 192 * 256 * 4  # it was there for the product


def test_auto_stores_nothing() -> None:
    network = nn.Sequential(nn.Linear(8, 8))
    store(network, ["0"], "auto")
    assert type(network[0]) is nn.Linear
    assert not any(isinstance(module, Stored) for module in network.modules())
