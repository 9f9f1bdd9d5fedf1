"""What only a CUDA device shows; `benchmarks/gpu.sh` runs these first."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from evaluation.rendering import RenderSettings, render
from evaluation.subject import Subject
from tests.trainer.driving import relative_difference, state, steps
from trainer.adapters.bank import AdapterBank, Row, Shape
from trainer.adapters.targets import unet_targets
from trainer.data.caches import TensorCache
from trainer.data.dataset import Dataset
from trainer.data.encoded import Encoded
from trainer.lora_files import merging
from trainer.outcome import OutOfMemory
from trainer.plan import TrainingPlan
from trainer.training.pack import Pack

pytestmark = pytest.mark.gpu
Plans = Callable[..., TrainingPlan]
CUDA = torch.device("cuda")
COUNT = 12


def opened(plan: TrainingPlan, dataset: Dataset, folder: Path, slots: int = 2) -> Pack:
    base = merging.loaded(plan)
    return Pack(base, Encoded(dataset, base, TensorCache(folder)), slots, plan.compute)


def trained(plan: TrainingPlan, dataset: Dataset, folder: Path) -> dict[str, Tensor]:
    training = opened(plan, dataset, folder)
    training.admit(0, plan)
    steps(training, COUNT)
    return state(training, 0)


def test_a_trial_on_a_gpu_is_the_trial_on_a_cpu_to_rounding(
    few_dataset: Dataset, make_plan: Plans, tmp_path: Path
) -> None:
    found, wanted = (
        trained(make_plan(rank=4, epochs=9, text_encoder=True, device=device), few_dataset, tmp_path / device)
        for device in ("cuda", "cpu")
    )
    assert relative_difference(found, wanted) < 0.02


@pytest.mark.parametrize(
    "fields",
    [
        {"gradient_checkpointing": True},
        {"offload": "all"},
        {"compile": True},
        {"attention": "flash"},
    ],
    ids=str,
)
def test_what_saves_memory_or_time_changes_nothing(
    few_dataset: Dataset, make_plan: Plans, tmp_path: Path, fields: dict[str, Any]
) -> None:
    plain = {"rank": 4, "epochs": 9, "mixed_precision": "bf16", "device": "cuda"}
    wanted = trained(make_plan(**plain), few_dataset, tmp_path / "plain")
    found = trained(make_plan(**{**plain, **fields}), few_dataset, tmp_path / "other")
    up = torch.cat([value.flatten() for name, value in wanted.items() if name.endswith("up")])
    other = torch.cat([value.flatten() for name, value in found.items() if name.endswith("up")])
    assert torch.cosine_similarity(up, other, dim=0) > 0.98


@pytest.mark.parametrize("form", ["fp8", "int8", "nf4"])
def test_a_stored_base_trains(few_dataset: Dataset, make_plan: Plans, tmp_path: Path, form: str) -> None:
    plan = make_plan(rank=4, epochs=9, mixed_precision="bf16", base_format=form, device="cuda")
    found = trained(plan, few_dataset, tmp_path)
    assert all(bool(value.isfinite().all()) for value in found.values())
    assert sum(float(value.abs().sum()) for name, value in found.items() if name.endswith("up")) > 0


@pytest.mark.parametrize("rows", [[0, 0, 1, 2, 2, 2], [2, 0, 0, 1]], ids=str)
def test_ragged_products_and_float32_sums_are_what_even_ones_are(tiny_unet: Any, rows: list[Row]) -> None:
    gradients = []
    for ragged in (False, True):
        unet = copy.deepcopy(tiny_unet).to(CUDA, torch.bfloat16)
        bank = AdapterBank({"unet": unet}, {"unet": unet_targets(unet)}, 3)
        bank.ragged = ragged
        for slot, rank in enumerate((4, 8, 16)):
            bank.open(slot, Shape(rank, 0.5, ("unet",)), seed=slot)
            for leaf in bank.leaves(slot).values():
                leaf.data.add_(0.05)
        torch.manual_seed(0)
        x = torch.randn(len(rows), 4, 16, 16, device=CUDA, dtype=torch.bfloat16)
        text = torch.randn(len(rows), 8, unet.config.cross_attention_dim, device=CUDA, dtype=torch.bfloat16)
        with bank.rows(rows):
            said = unet(x, torch.full((len(rows),), 9, device=CUDA), encoder_hidden_states=text).sample
            torch.autograd.backward(said.float().square().sum())
        gradients.append(torch.cat([leaf.grad.flatten() for s in range(3) for leaf in _leaves(bank, s)]))
    assert torch.cosine_similarity(*gradients, dim=0) > 0.999


def _leaves(bank: AdapterBank, slot: int) -> list[Any]:
    return list(bank.leaves(slot).values())


def test_losses_are_read_late_and_no_step_waits(
    few_dataset: Dataset, make_plan: Plans, tmp_path: Path
) -> None:
    plan = make_plan(rank=4, epochs=99, repeats=99, mixed_precision="bf16", device="cuda")
    training = opened(plan, few_dataset, tmp_path)
    training.admit(0, plan)
    steps(training, 8)
    torch.cuda.set_sync_debug_mode("error")
    try:
        steps(training, 6)
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_a_card_that_is_full_makes_the_newest_trial_wait(
    few_dataset: Dataset, make_plan: Plans, tmp_path: Path
) -> None:
    plan = make_plan(rank=4, epochs=99, device="cuda")
    training = opened(plan, few_dataset, tmp_path)
    for trial in (0, 1):
        training.admit(trial, plan)
    steps(training, 2)
    torch.cuda.empty_cache()
    free, total = torch.cuda.mem_get_info()
    torch.cuda.set_per_process_memory_fraction((total - free + 2**21) / total)
    try:
        events = steps(training, 1)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert events == [OutOfMemory(1)]
    assert list(training.runs) == [0]


def test_the_judge_draws_in_half_precision(few_dataset: Dataset, make_plan: Plans, tmp_path: Path) -> None:
    drawn = []
    for precision in ("no", "bf16"):
        plan = make_plan(rank=4, mixed_precision=precision, device="cuda")
        training = opened(plan, few_dataset, tmp_path / precision)
        settings = RenderSettings(steps=4, guidance=4.0, width=64, height=64)
        drawn.append(render(training.data, training.bank, [Subject(None)], ["a cat"], [1], settings, 8))
    assert float((drawn[0] - drawn[1]).abs().mean()) < 0.1
