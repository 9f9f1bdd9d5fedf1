"""Bytes counted without weights, beside what a real training keeps."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from trainer.bases import find
from trainer.bases.base_model import BaseModel
from trainer.bases.families import FAMILIES
from trainer.bases.find import Source
from trainer.data.dataset import Dataset
from trainer.data.encoded import Encoded
from trainer.footprint.resident import footprint, state_bytes
from trainer.plan import TrainingPlan
from trainer.plans.optimiser import OptimiserPlan
from trainer.plans.optimiser_kinds import OPTIMISERS
from trainer.training.pack import Pack

Plans = Callable[..., TrainingPlan]


def test_the_count_is_what_the_loaded_model_and_a_real_slot_hold(
    fresh_base: Callable[..., BaseModel],
    few_dataset: Dataset,
    encode: Callable[[Dataset, BaseModel], Encoded],
    make_plan: Plans,
) -> None:
    plan = make_plan(rank=3, text_encoder=True, decay=0.9)
    found = footprint(plan)
    base = fresh_base()
    frozen = sum(p.numel() for model in (base.unet, base.text_encoder) for p in model.parameters())
    assert (found.base_parameters, found.base_bytes) == (frozen, 4 * frozen)
    assert found.vae_bytes == sum(p.nbytes for p in base.vae.parameters())
    pack = Pack(base, encode(few_dataset, base), 1, plan.compute)
    run = pack.admit(0, plan)
    pack.step()
    leaves = pack.bank.leaves(run.slot).values()
    assert found.lora_parameters == sum(leaf.numel() for leaf in leaves)
    assert found.weight_bytes == found.gradient_bytes == pack.bank.gradients(run.slot).nbytes
    kept = run.stepper.optimiser.state.values()
    state = [v for values in kept for v in values.values() if torch.is_tensor(v)]
    assert found.optimiser_bytes == pytest.approx(sum(v.nbytes for v in state), rel=1e-3)
    assert found.average_bytes == 4 * found.lora_parameters
    assert found.total(2) - found.total(1) == found.trial_bytes


def test_half_precision_halves_the_base_and_nothing_else(make_plan: Plans) -> None:
    full, half = (footprint(make_plan(rank=2, mixed_precision=name)) for name in ("no", "bf16"))
    assert half.base_bytes * 2 == full.base_bytes
    assert (half.vae_bytes, half.trial_bytes) == (full.vae_bytes, full.trial_bytes)


def test_sd_15_has_its_known_number_of_parameters(make_plan: Plans, monkeypatch: pytest.MonkeyPatch) -> None:
    source = Source(FAMILIES["sd1"], FAMILIES["sd1"].configs, None, None, "epsilon", False)
    monkeypatch.setattr(find, "find", lambda _: source)
    found = footprint(make_plan(rank=1))
    assert found.base_parameters == 859_520_964 + 123_060_480
    assert found.vae_bytes == 4 * 83_653_863


@pytest.mark.parametrize(
    ("name", "floats"), [("adamw", 2), ("lion", 1), ("sgd_nesterov", 1), ("dadapt_adam", 3)]
)
def test_states_are_so_many_floats_a_parameter(name: str, floats: int) -> None:
    steps = 4 if name == "adamw" else 0
    plan = OptimiserPlan.model_validate({"name": name})
    assert state_bytes(plan, [(4, 100)] * 5) == 5 * 400 * 4 * floats + steps


def test_eight_bits_take_a_byte_a_state_and_share_their_tables() -> None:
    block, tables = 256, 2 * 256 * 4
    shapes = [(16, 320)] * 3 + [(16, 640)] * 2
    parameters = 3 * 5120 + 2 * 10240
    assert state_bytes(OptimiserPlan(name="adamw8bit"), shapes) == tables + 2 * (
        parameters + 4 * parameters // block
    )


@pytest.mark.parametrize("name", OPTIMISERS)
def test_every_optimiser_can_be_counted(name: str) -> None:
    assert state_bytes(OptimiserPlan.model_validate({"name": name}), [(2, 8)]) > 0


def test_of_several_optimisers_the_hungriest_counts(make_plan: Plans) -> None:
    plan = make_plan(optimiser="lion", rank=2)
    both = footprint(plan, [OptimiserPlan(name="adamw")])
    assert both.optimiser_bytes == footprint(make_plan(rank=2)).optimiser_bytes
    assert both.optimiser_bytes > footprint(plan).optimiser_bytes


@pytest.mark.parametrize("algorithm", ["full", "glora", "dylora"])
def test_algorithms_of_lycoris_are_counted_without_weights(
    fresh_base: Callable[..., BaseModel],
    few_dataset: Dataset,
    encode: Callable[[Dataset, BaseModel], Encoded],
    make_plan: Plans,
    algorithm: str,
) -> None:
    plan = make_plan(rank=4, algorithm=algorithm)
    base = fresh_base()
    pack = Pack(base, encode(few_dataset, base), 1, plan.compute)
    run = pack.admit(0, plan)
    leaves = pack.bank.leaves(run.slot).values()
    assert footprint(plan).lora_parameters == sum(leaf.numel() for leaf in leaves)
