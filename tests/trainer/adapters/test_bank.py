"""The bank against plain autograd: every layer's weight replaced by W + scale * B A."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call

from trainer.adapters.bank import AdapterBank, Row, Shape
from trainer.adapters.residence import Residence
from trainer.adapters.shape import Dropout
from trainer.adapters.targets import text_targets, unet_targets
from trainer.seeds import generator

TARGETS = ["first", "point", "last"]
SHAPES = {0: Shape(3, 0.3, ("unet",)), 1: Shape(1, 1.0, ("unet",)), 3: Shape(8, 0.7, ("unet",))}


class Model(nn.Module):
    """Linear, 1x1 convolution, Linear over (rows, tokens, 6)."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.point, self.last = nn.Linear(6, 8), nn.Conv2d(8, 5, 1), nn.Linear(5, 4, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        hidden = torch.tanh(self.first(x))
        rows, tokens, width = hidden.shape
        image = hidden.reshape(rows, tokens // 2, 2, width).permute(0, 3, 1, 2)
        out: Tensor = self.last(torch.tanh(self.point(image)).flatten(2).transpose(1, 2))
        return out


@pytest.fixture
def model() -> Model:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return Model().double().requires_grad_(False)


def bank_on(model: nn.Module, capacity: int = 4) -> AdapterBank:
    return AdapterBank({"unet": model}, {"unet": TARGETS}, capacity)


def fill(bank: AdapterBank, slot: int) -> None:
    """Random weights, so that B is not zero."""
    source = torch.Generator().manual_seed(slot)
    state = bank.state(slot)
    bank.load(
        slot,
        {
            name: torch.randn(value.shape, generator=source, dtype=value.dtype)
            for name, value in state.items()
        },
    )


def filled(model: nn.Module, slots: Sequence[int] = (0, 1, 3), ragged: bool = False) -> AdapterBank:
    bank = bank_on(model)
    bank.ragged = ragged
    for slot in slots:
        bank.open(slot, SHAPES[slot], seed=slot)
        fill(bank, slot)
    return bank


def direct(model: Model, x: Tensor, state: dict[str, Tensor], scale: float) -> Tensor:
    """The model with each weight replaced by W + scale B A."""
    weights = {}
    for name in TARGETS:
        delta = scale * state[f"unet.{name}.up"] @ state[f"unet.{name}.down"]
        weight = model.get_parameter(f"{name}.weight")
        weights[f"{name}.weight"] = weight + delta.view(weight.shape)
    out: Tensor = functional_call(model, weights, (x,))
    return out


ROWS: list[list[Row]] = [
    [0],
    [0, 1, 3],
    [1, 0, 3],
    [0, 0, 1, 1, 3, 3],
    [0, 0, 0, 1, 3, 3],
    [None, 0, None, 3, 3, None],
    [0, 1, 0, 1, 3, 0],
    [3, 3, 0, 3, 3],
    [3, 1, 0, None, 3],
]


@pytest.mark.parametrize("ragged", [False, True], ids=["even", "ragged"])
@pytest.mark.parametrize("rows", ROWS, ids=str)
def test_outputs_and_gradients_equal_those_of_direct_autograd(
    model: Model, rows: list[Row], ragged: bool
) -> None:
    plain = copy.deepcopy(model)
    bank = filled(model, ragged=ragged)
    source = torch.Generator().manual_seed(9)
    x = torch.randn(len(rows), 4, 6, generator=source, dtype=torch.float64, requires_grad=True)
    pull = torch.randn(len(rows), 4, 4, generator=source, dtype=torch.float64)
    with bank.rows(rows):
        out = model(x)
        (out * pull).sum().backward()
    states = {slot: {k: v.requires_grad_() for k, v in bank.state(slot).items()} for slot in SHAPES}
    y = x.detach().clone().requires_grad_()
    wanted = torch.cat(
        [
            plain(y[i : i + 1])
            if slot is None
            else direct(plain, y[i : i + 1], states[slot], SHAPES[slot].scale)
            for i, slot in enumerate(rows)
        ]
    )
    (wanted * pull).sum().backward()
    torch.testing.assert_close(out, wanted, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(x.grad, y.grad, rtol=1e-12, atol=1e-12)
    for slot in {slot for slot in rows if slot is not None}:
        names = [f"unet.{name}.{factor}" for name in TARGETS for factor in ("down", "up")]
        for name, leaf in zip(names, bank.parameters(slot, "unet"), strict=True):
            expected = states[slot][name].grad
            assert expected is not None
            assert leaf.grad is not None
            found = leaf.grad.T if name.endswith(".up") else leaf.grad
            torch.testing.assert_close(found, expected, rtol=1e-11, atol=1e-11)


def test_on_a_base_of_half_precision_slots_of_any_rank_and_batch_are_computed_together(model: Model) -> None:
    rows: list[Row] = [0, 0, 1, 3, 3, 3]
    x = torch.randn(len(rows), 4, 6, generator=generator("half"))
    outputs, gradients = [], []
    for dtype, ragged, groups in (
        (torch.float32, False, 3),
        (torch.bfloat16, False, 3),
        (torch.bfloat16, True, 1),
    ):
        inner = copy.deepcopy(model).to(dtype)
        bank = filled(inner, ragged=ragged)
        with bank.rows(rows):
            assert len(bank._active) == groups
            out = inner(x.to(dtype)).float()
            out.square().sum().backward()
        outputs.append(out)
        leaves = [leaf for slot in SHAPES for leaf in bank.parameters(slot, "unet")]
        gradients.append(torch.cat([leaf.grad.flatten() for leaf in leaves if leaf.grad is not None]))
    for found in (outputs, gradients):
        assert all((one - found[0]).norm() < 0.03 * found[0].norm() for one in found[1:])


def test_gradients_of_slots_without_rows_stay_zero(model: Model) -> None:
    bank = filled(model)
    with bank.rows([0, 0]):
        model(torch.ones(2, 4, 6, dtype=torch.float64)).sum().backward()
    assert bank.gradients(0).norm() > 0
    assert bank.gradients(1).norm() == 0
    assert bank.gradients(3).norm() == 0


def test_the_flat_gradient_of_a_slot_has_the_norm_of_its_leaves(model: Model) -> None:
    bank = filled(model)
    with bank.rows([0, 1, 3]):
        model(torch.ones(3, 4, 6, dtype=torch.float64)).sum().backward()
    for slot in SHAPES:
        squares = sum(
            float((leaf.grad**2).sum()) for leaf in bank.parameters(slot, "unet") if leaf.grad is not None
        )
        assert float(bank.gradients(slot).norm()) == pytest.approx(math.sqrt(squares), rel=1e-12)


def test_rows_without_a_slot_are_exactly_the_bare_base(model: Model) -> None:
    plain = copy.deepcopy(model)
    bank = filled(model)
    x = torch.randn(3, 4, 6, generator=generator("bare"), dtype=torch.float64)
    assert torch.equal(model(x), plain(x))
    with bank.rows([None, None, None]):
        assert torch.equal(model(x), plain(x))
    with bank.rows([None, 0, None]):
        mixed = model(x)
    assert torch.equal(mixed[[0, 2]], plain(x)[[0, 2]])
    assert not torch.equal(mixed[1], plain(x)[1])


def test_a_new_lora_changes_nothing_and_starts_kaiming_uniform(model: Model) -> None:
    plain = copy.deepcopy(model)
    bank = bank_on(model)
    bank.open(2, Shape(8, 0.5, ("unet",)), seed=5)
    x = torch.randn(1, 4, 6, generator=generator("new"), dtype=torch.float64)
    with bank.rows([2]):
        torch.testing.assert_close(model(x), plain(x), rtol=0, atol=1e-15)
    down = bank.state(2)["unet.first.down"]
    reference = nn.Linear(6, 4096)
    nn.init.kaiming_uniform_(reference.weight, a=math.sqrt(5))
    bound = float(reference.weight.abs().max().detach())
    assert float(down.abs().max()) <= 1 / math.sqrt(6)
    assert bound == pytest.approx(1 / math.sqrt(6), rel=1e-3)
    assert float(down.std()) == pytest.approx(bound / math.sqrt(3), rel=0.25)


def test_the_start_depends_on_seed_and_layer_and_not_on_slot_or_rank(model: Model) -> None:
    bank = bank_on(model)
    bank.open(0, Shape(2, 1.0, ("unet",)), seed=5)
    bank.open(1, Shape(6, 1.0, ("unet",)), seed=5)
    bank.open(2, Shape(2, 1.0, ("unet",)), seed=6)
    small, large, other = (bank.state(slot)["unet.first.down"] for slot in (0, 1, 2))
    assert torch.equal(small, large[:2])
    assert not torch.equal(small, other)


def test_a_larger_rank_makes_the_bank_grow_while_others_train_on(model: Model) -> None:
    alone, grown = copy.deepcopy(model), model
    results = []
    for network, grows in ((alone, False), (grown, True)):
        bank = filled(network, (0,))
        leaves = bank.parameters(0, "unet")
        optimiser = torch.optim.AdamW(leaves, lr=0.01)
        for step in range(6):
            if grows and step == 3:
                bank.open(3, Shape(32, 1.0, ("unet",)), seed=1)
                fill(bank, 3)
            bank.gradients(0).zero_()
            rows = [0, 3] if grows and step >= 3 else [0]
            x = torch.randn(1, 4, 6, generator=generator("grow", step), dtype=torch.float64)
            with bank.rows(rows):
                network(x.expand(len(rows), -1, -1)).square().sum().backward()
            optimiser.step()
        assert all(a is b for a, b in zip(leaves, bank.parameters(0, "unet"), strict=True))
        results.append(bank.state(0))
    for name, value in results[0].items():
        torch.testing.assert_close(results[1][name], value, rtol=1e-12, atol=1e-14)


def test_a_closed_slot_is_as_new_when_opened_again(model: Model) -> None:
    bank = filled(model)
    with bank.rows([3]):
        model(torch.ones(1, 4, 6, dtype=torch.float64)).sum().backward()
    bank.load(3, {name: value * math.nan for name, value in bank.state(3).items()})
    bank.close(3)
    bank.open(3, SHAPES[0], seed=7)
    fresh = bank_on(Model().double())
    fresh.open(1, SHAPES[0], seed=7)
    assert bank.gradients(3).abs().max() == 0
    for name, value in fresh.state(1).items():
        assert torch.equal(bank.state(3)[name], value)


def test_a_neighbour_full_of_nan_does_no_harm(model: Model) -> None:
    bank = filled(model)
    x = torch.ones(3, 4, 6, dtype=torch.float64)
    with bank.rows([0, 1, 3]):
        before = model(x)[::2].clone()
    bank.load(1, {name: value * math.nan for name, value in bank.state(1).items()})
    with bank.rows([0, 1, 3]):
        after = model(x)
    assert after[1].isnan().all()
    assert torch.equal(after[::2], before)


def test_a_slot_cannot_be_opened_twice(model: Model) -> None:
    bank = filled(model)
    with pytest.raises(ValueError, match="slot 1 is already open"):
        bank.open(1, SHAPES[1], seed=0)


def test_weights_of_other_layers_are_refused(model: Model) -> None:
    bank = filled(model)
    state = bank.state(0)
    state["unet.elsewhere.up"] = state.pop("unet.last.up")
    with pytest.raises(ValueError, match=r"unet\.elsewhere\.up"):
        bank.load(0, state)


def test_only_linear_and_pointwise_layers_can_be_wrapped() -> None:
    model = nn.Sequential(nn.Conv2d(4, 4, 3))
    with pytest.raises(TypeError, match="Linear or 1x1 Conv2d"):
        AdapterBank({"unet": model}, {"unet": ["0"]}, 1)


def test_stable_diffusion_1_5_has_192_and_72_targets() -> None:
    from diffusers import UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    with torch.device("meta"):
        unet: Any = UNet2DConditionModel(cross_attention_dim=768, attention_head_dim=8)
        text = CLIPTextModel(
            CLIPTextConfig(
                hidden_size=768, intermediate_size=3072, num_hidden_layers=12, num_attention_heads=12
            )
        )
    assert sum(p.numel() for p in unet.parameters()) == 859_520_964
    assert len(unet_targets(unet)) == 192
    assert len(text_targets(text)) == 72


def test_memory_for_all_slots_is_taken_once_and_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    bank, taken = bank_on(Model().double().requires_grad_(False)), list[int]()
    place = Residence.place

    def noted(self: Residence, slots: int) -> None:
        place(self, slots)
        taken.append(self.weights.nbytes)

    monkeypatch.setattr(Residence, "place", noted)
    shape = Shape(8, 1.0, ("unet",))
    bank.reserve(shape, 3)
    one = taken[-1] // 3
    taken.clear()
    for slot in range(3):
        bank.open(slot, shape, 0)
    assert taken == []
    bank.reserve(shape, 1)  # slots are open: nothing moves under them
    assert taken == []
    for slot in range(3):
        bank.close(slot)
    bank.reserve(Shape(4, 1.0, ("unet",)), 2)
    assert taken[-1] == pytest.approx(2 * one / 2, rel=0.01)
    bank.reserve(shape, 99)
    assert taken[-1] == 4 * one  # its capacity


def test_a_reserved_bank_computes_the_same() -> None:
    shape, found = Shape(4, 1.0, ("unet",)), []
    for reserved in (False, True):
        bank = bank_on(Model().double().requires_grad_(False))
        if reserved:
            bank.reserve(Shape(16, 1.0, ("unet",)), 4)
        bank.open(1, shape, 0)
        found.append(bank.state(1))
    assert all(torch.equal(found[0][name], value) for name, value in found[1].items())


def test_dropout_acts_also_where_the_same_rows_were_judged_before(model: Model) -> None:
    bank = bank_on(model)
    bank.open(0, Shape(3, 0.3, ("unet",), dropout=Dropout(hidden=0.5)), seed=0)
    fill(bank, 0)
    x = torch.randn(2, 4, 6, generator=generator("dropout"), dtype=torch.float64)

    def said(presentations: list[int] | None) -> Tensor:
        with bank.rows([0, 0], presentations):
            return model(x)

    thinned, judged = said([0, 1]), said(None)
    assert not torch.equal(thinned, judged)
    assert torch.equal(said([0, 1]), thinned)
    assert not torch.equal(said([2, 3]), thinned)
    assert torch.equal(said(None), judged)


def test_groups_that_last_follow_the_slots_that_are_open(model: Model) -> None:
    bank = filled(model)
    x = torch.randn(2, 4, 6, generator=generator("lasting"), dtype=torch.float64)

    def said() -> Tensor:
        with bank.rows([0, 1]):
            return model(x)

    before = said()
    assert torch.equal(said(), before)
    bank.close(1)
    bank.open(1, Shape(5, 0.9, ("unet",)), seed=7)
    fill(bank, 1)
    after = said()
    assert torch.equal(after[0], before[0])
    assert not torch.equal(after[1], before[1])
    bank.load(1, {name: 2 * value for name, value in bank.state(1).items()})
    assert not torch.equal(said()[1], after[1])
