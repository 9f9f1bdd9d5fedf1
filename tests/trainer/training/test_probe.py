"""The plateau rule by hand, and the probe on the few images and on the demonstration."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch

from tests.trainer.driving import pack
from tests.words import sentence_of
from trainer.bases.base_model import BaseModel
from trainer.data.dataset import Dataset
from trainer.data.encoded import Encoded
from trainer.plan import TrainingPlan
from trainer.training.pack import Pack
from trainer.training.probe import Course, Plateau, Probe, conversions, follow, plateau, probe_plan

Plans = Callable[..., TrainingPlan]
Encode = Callable[[Dataset, BaseModel], Encoded]
GRID_BEST = 1.7e-3


def test_the_plateau_is_where_the_rate_has_stayed_for_long_enough() -> None:
    rates = [1e-6] * 5 + [1e-5, 1e-4, 5e-4] + [5.1e-4] * 6
    assert plateau(rates, patience=3) == Plateau(5.1e-4, 11, True)


def test_waiting_at_the_start_is_no_plateau() -> None:
    assert plateau([1e-6] * 50, patience=3) == Plateau(1e-6, 50, False)


def test_a_rate_that_still_grows_is_not_flat_yet() -> None:
    rates = [1e-6 * 1.1**i for i in range(60)]
    assert plateau(rates, patience=3) == Plateau(rates[-1], 60, False)


def test_growth_below_the_tolerance_is_flat() -> None:
    rates = [1e-6] + [1e-3 * 1.01**i for i in range(9)]
    assert plateau(rates, patience=4, growth=0.05) == Plateau(rates[5], 6, True)


def test_lion_takes_a_third_of_the_plateau() -> None:
    assert conversions(9e-4) == pytest.approx({"adamw8bit": 9e-4, "lion": 3e-4})


def test_the_probe_trains_the_plan_s_own_batch_and_lora_under_dadaptation(make_plan: Plans) -> None:
    plan = make_plan(
        optimiser="lion", rank=3, batch_size=2, text_encoder=True, gradient_accumulation=2, max_grad_norm=0.5,
        lora_plus_ratio=4.0, decay=0.9, schedule="cosine", warmup_share=0.1,
    )  # fmt: skip
    probed = probe_plan(plan, 70)
    assert (probed.lora, probed.noise, probed.base) == (plan.lora, plan.noise, plan.base)
    assert (probed.optimiser.name, probed.optimiser.unet_lr, probed.schedule.name) == (
        "dadaptation",
        1.0,
        "constant",
    )
    assert (probed.optimiser.gradient_accumulation, probed.optimiser.max_grad_norm) == (2, 0.5)
    assert (probed.optimiser.lora_plus_ratio, probed.ema.decay) == (1.0, None)
    assert (probed.data.batch_size, probed.data.epochs) == (2, 70)


def test_the_rate_is_a_quarter_of_the_geometric_mean_of_the_plateaus() -> None:
    flat = [Course((rate,), Plateau(rate, 9, True), None) for rate in (2e-4, 8e-4)]
    rising = Course((1e-6,), Plateau(1e-6, 9, False), None)
    assert Probe(tuple(flat)).plateau == pytest.approx(4e-4)
    assert Probe(tuple(flat)).rate == pytest.approx(1e-4)
    assert Probe(tuple(flat)).flat
    assert Probe((*flat, rising)).plateau == pytest.approx(4e-4)
    assert not Probe((*flat, rising)).flat
    assert Probe((rising,)).plateau == pytest.approx(1e-6)
    assert math.isnan(Probe((Course((), plateau(()), "memory ran out"),)).rate)


def test_the_probe_follows_d_times_lr_and_leaves_the_pack_idle(
    tiny_base: Callable[..., BaseModel], few_dataset: Dataset, encode: Encode, make_plan: Plans
) -> None:
    heard: list[tuple[int, int, float]] = []
    training = pack(encode(few_dataset, tiny_base()), 2)
    plan = make_plan(rank=2, gradient_accumulation=2)
    found = follow(training, plan, 2, 7, lambda *facts: heard.append(facts))
    for i, course in enumerate(found.courses):
        assert [(step, rate) for which, step, rate in heard if which == i] == list(
            enumerate(course.rates, start=1)
        )
        assert len(course.rates) == 7
        assert list(course.rates) == sorted(course.rates)
        assert course.plateau == Plateau(course.rates[-1], 7, False)
        assert course.trouble is None
    assert not training.runs


def test_the_first_repetition_is_the_plan_s_own_trial_under_dadaptation(
    tiny_base: Callable[..., BaseModel], few_dataset: Dataset, encode: Encode, make_plan: Plans
) -> None:
    plan = make_plan(rank=8, alpha_over_rank=1.0, max_grad_norm=0)
    found = follow(pack(encode(few_dataset, tiny_base(torch.float64)), 2), plan, 2, 40)
    alone = pack(encode(few_dataset, tiny_base(torch.float64)), 1)
    run = alone.admit(0, probe_plan(plan, 40))
    expected = []
    for _ in range(40):
        alone.step()
        expected.append(run.stepper.optimiser.param_groups[0]["d"])
    assert found.courses[0].rates == pytest.approx(expected, rel=1e-8)


def test_a_probe_that_diverges_says_so(
    tiny_base: Callable[..., BaseModel],
    few_dataset: Dataset,
    encode: Encode,
    make_plan: Plans,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    training = pack(encode(few_dataset, tiny_base()), 1)
    attempt = Pack._forward_backward
    monkeypatch.setattr(Pack, "_forward_backward", lambda self, runs: attempt(self, runs) * torch.nan)
    (course,) = follow(training, make_plan(rank=2), 1, 9).courses
    assert course.trouble is not None
    assert "the loss became nan" in sentence_of(course.trouble)
    assert not course.plateau.flat
    assert not training.runs


@pytest.mark.slow
def test_on_the_demonstration_the_probe_is_within_three_of_the_best_rate_of_a_grid(
    fresh_base: Callable[..., BaseModel],
    demo_dataset: Dataset,
    encode: Encode,
    make_plan: Plans,
) -> None:
    """A grid of 12 rates from 3e-5 to 1.7e-2 found GRID_BEST (rank 8, alpha 8, batch 2, best of 200 steps)."""
    training = pack(encode(demo_dataset, fresh_base()), 3)
    found = follow(training, make_plan(rank=8, alpha_over_rank=1.0, batch_size=2, repeats=1, seed=7))
    assert found.flat
    assert len({course.plateau.rate for course in found.courses}) == 3
    assert GRID_BEST / 3 < found.rate < GRID_BEST * 3
