"""The plateau rule by hand, and the probe on the few images and on the demonstration."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from tests.trainer.driving import pack
from trainer.base_model import BaseModel
from trainer.data.dataset import Dataset, Encoded
from trainer.pack import Pack
from trainer.plan import TrainingPlan
from trainer.probe import Plateau, conversions, follow, plateau, probe_plan

Plans = Callable[..., TrainingPlan]
Encode = Callable[[Dataset, BaseModel], Encoded]


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


def test_the_probe_follows_d_times_lr_and_leaves_the_pack_idle(
    tiny_base: Callable[..., BaseModel], few_dataset: Dataset, encode: Encode, make_plan: Plans
) -> None:
    training = pack(encode(few_dataset, tiny_base()), 1)
    heard: list[tuple[int, float]] = []
    found = follow(
        training, make_plan(rank=2, gradient_accumulation=2), 7, lambda *facts: heard.append(facts)
    )
    assert heard == list(enumerate(found.rates, start=1))
    assert len(found.rates) == 7
    assert list(found.rates) == sorted(found.rates)
    assert found.plateau == Plateau(found.rates[-1], 7, False)
    assert found.trouble is None
    assert not training.runs


def test_a_probe_that_diverges_says_so(
    tiny_base: Callable[..., BaseModel],
    few_dataset: Dataset,
    encode: Encode,
    make_plan: Plans,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    training = pack(encode(few_dataset, tiny_base()), 1)
    attempt = Pack._forward_backward
    monkeypatch.setattr(
        Pack, "_forward_backward", lambda self, runs: [torch.nan for _ in attempt(self, runs)]
    )
    found = follow(training, make_plan(rank=2), 9)
    assert found.trouble is not None
    assert "the loss became nan" in found.trouble
    assert len(found.rates) == 1
    assert not training.runs


@pytest.mark.slow
def test_on_the_demonstration_the_plateau_is_among_the_rates_known_to_be_good(
    fresh_base: Callable[..., BaseModel],
    demo_dataset: Dataset,
    encode: Encode,
    make_plan: Plans,
) -> None:
    training = pack(encode(demo_dataset, fresh_base()), 1)
    found = follow(training, make_plan(rank=8, alpha_over_rank=1.0, batch_size=2, repeats=1, seed=7))
    assert found.plateau.flat
    assert 3e-4 < found.plateau.rate < 3e-3
