"""DoRA in the bank against PEFT's ``use_dora``."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import Tensor, nn

from trainer.adapters.bank import AdapterBank, Row, Shape
from trainer.plan import TrainingPlan
from trainer.training.run import shape_of

LINEARS, CONVOLUTIONS = ["first", "point", "last"], ["wide"]
STEPS = 12


class Model(nn.Module):
    """3x3 and 1x1 convolutions and Linears, with bias and without, over (rows, 3, 8, 8)."""

    def __init__(self) -> None:
        super().__init__()
        self.wide, self.point = nn.Conv2d(3, 6, 3, stride=2, padding=1), nn.Conv2d(6, 8, 1)
        self.first, self.last = nn.Linear(8, 10), nn.Linear(10, 4, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        image = torch.tanh(self.point(torch.tanh(self.wide(x))))
        out: Tensor = self.last(torch.tanh(self.first(image.flatten(2).mT)))
        return out


@pytest.fixture
def model() -> Model:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return Model().requires_grad_(False)


def bank_on(model: nn.Module) -> AdapterBank:
    return AdapterBank({"unet": model}, {"unet": LINEARS}, 8, {"unet": CONVOLUTIONS})


def batches(rows: int, dtype: torch.dtype = torch.float32) -> Iterator[tuple[Tensor, Tensor]]:
    source = torch.Generator().manual_seed(2)
    for _ in range(STEPS):
        yield (
            torch.randn(rows, 3, 8, 8, generator=source, dtype=dtype),
            torch.randn(rows, 16, 4, generator=source, dtype=dtype),
        )


@pytest.mark.parametrize("dora", [True, False])
@pytest.mark.parametrize("scaling", ["alpha/rank", "alpha/sqrt(rank)"])
def test_trained_weights_equal_pefts(
    model: Model, make_plan: Callable[..., TrainingPlan], dora: bool, scaling: str
) -> None:
    ranks = {"rank": 4, "conv_rank": 4, "alpha_over_rank": 0.7, "conv_alpha_over_rank": 0.7}
    shape = shape_of(make_plan(**ranks, dora=dora, scaling=scaling))
    config = LoraConfig(
        r=4,
        lora_alpha=2.8,  # type: ignore[arg-type]
        target_modules=LINEARS + CONVOLUTIONS,
        use_dora=dora,
        use_rslora=scaling == "alpha/sqrt(rank)",
    )
    wanted = get_peft_model(copy.deepcopy(model), config)  # type: ignore[arg-type]
    bank = bank_on(model)
    bank.open(0, shape, seed=3)
    theirs = dict(theirs_of(wanted))
    assert theirs.keys() == bank.leaves(0).keys()
    with torch.no_grad():
        for name, value in bank.state(0).items():
            theirs[name].copy_(value.view_as(theirs[name]))
    mine = torch.optim.AdamW(bank.parameters(0, "unet"), lr=2e-2)
    other = torch.optim.AdamW(theirs.values(), lr=2e-2)
    for x, target in batches(2):
        bank.gradients(0).zero_()
        other.zero_grad()
        with bank.rows([0, 0]):
            (model(x) - target).square().mean().backward()
        (wanted(x) - target).square().mean().backward()
        mine.step()
        other.step()
    for name, value in bank.state(0).items():
        torch.testing.assert_close(value, theirs[name].detach().view_as(value), atol=1e-5, rtol=1e-5)


def theirs_of(peft: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    """PEFT's trained tensors by the bank's names."""
    factors = {"lora_A": "down", "lora_B": "up", "lora_magnitude_vector": "magnitude"}
    for name, parameter in peft.named_parameters():
        if parameter.requires_grad:
            layer, factor = name.removeprefix("base_model.model.").split(".lora_")
            yield f"unet.{layer}.{factors['lora_' + factor.split('.')[0]]}", parameter


SHAPES = {
    0: Shape(3, 0.3, ("unet",), conv_rank=2, dora=True),
    1: Shape(4, 0.7, ("unet",), conv_rank=3, conv_scale=0.5),
    2: Shape(4, 0.7, ("unet",), dora=True),
    3: Shape(2, 1.5, ("unet",), conv_rank=1, dora=True),
    4: Shape(2, 0.9, ("unet",), conv_rank=1, dora=True),
}
PACKS: list[list[Row]] = [[0, 1, 2, 3, 4], [3, 3, 4, 4, 2, 2], [None, 3, 1, 4, 3, None], [4, 3, 0, 0]]


def trained(model: nn.Module, shapes: dict[int, Shape], rows: list[Row]) -> dict[int, list[Tensor]]:
    """Every slot's outputs, weights and gradients after some steps; a row's data depend on its slot alone."""
    bank = bank_on(model)
    for slot, shape in shapes.items():
        bank.open(slot, shape, seed=slot)
    outputs: dict[int, list[Tensor]] = {slot: [] for slot in shapes}
    for given, targets in batches(len(SHAPES), torch.float64):
        picked = [0 if slot is None else slot for slot in rows]
        for slot in shapes:
            bank.gradients(slot).zero_()
        with bank.rows(rows):
            out = model(given[picked])
            (out - targets[picked]).square().mean((1, 2)).sum().backward()
        for slot in shapes:
            outputs[slot].append(out[[owner == slot for owner in rows]].detach())
            with torch.no_grad():
                for leaf in bank.parameters(slot, "unet"):
                    assert leaf.grad is not None
                    leaf -= 0.05 * leaf.grad
    return {
        slot: [*outputs[slot], *bank.state(slot).values(), bank.gradients(slot).norm()] for slot in shapes
    }


@pytest.mark.parametrize("rows", PACKS, ids=str)
def test_a_slot_among_others_with_dora_and_without_is_what_it_is_alone(model: Model, rows: list[Row]) -> None:
    model.double()
    slots = {slot: shape for slot, shape in SHAPES.items() if slot in rows}
    packed = trained(copy.deepcopy(model), slots, rows)
    for slot, shape in slots.items():
        alone = trained(copy.deepcopy(model), {slot: shape}, [row for row in rows if row == slot])[slot]
        for mine, wanted in zip(packed[slot], alone, strict=True):
            torch.testing.assert_close(mine, wanted, atol=1e-12, rtol=1e-10)


def test_a_new_slot_is_the_base_model(model: Model) -> None:
    x, _ = next(batches(2))
    wanted = model(x)
    bank = bank_on(model)
    bank.open(0, SHAPES[0], seed=0)
    with bank.rows([0, None]):
        torch.testing.assert_close(model(x), wanted)


def test_an_output_whose_weights_are_zero_stays_zero_and_finite(model: Model) -> None:
    model.last.weight[1] = 0
    bank = bank_on(model)
    bank.open(0, SHAPES[0], seed=0)
    with bank.rows([0]):
        out = model(next(batches(1))[0])
        out.sum().backward()
    assert not out[..., 1].any()
    assert bank.gradients(0).isfinite().all()


def test_slots_opened_later_make_room_for_magnitudes_and_leave_weights_alone(model: Model) -> None:
    bank = bank_on(model)
    bank.open(1, SHAPES[1], seed=1)
    narrow, before = bank.gradients(1).numel(), bank.state(1)
    bank.open(0, SHAPES[0], seed=0)
    assert bank.gradients(1).numel() > narrow
    assert all(value.equal(before[name]) for name, value in bank.state(1).items())
    assert not any(name.endswith(".magnitude") for name in bank.leaves(1))


def test_on_a_base_of_half_precision_magnitudes_learn_in_float32(model: Model) -> None:
    gradients = []
    for dtype in (torch.float32, torch.bfloat16):
        bank = bank_on(half := copy.deepcopy(model).to(dtype))
        bank.open(0, SHAPES[0], seed=0)
        with bank.rows([0, None, 0]):
            half(next(batches(3))[0].to(dtype)).float().square().sum().backward()
        found = bank.leaves(0)["unet.last.magnitude"].grad
        assert found is not None and found.dtype == torch.float32
        gradients.append(found)
    torch.testing.assert_close(gradients[1], gradients[0], rtol=0.05, atol=0.05)
