"""Losses by hand and against diffusers."""

from __future__ import annotations

import pytest
import torch

from trainer.plans.noise import NoisePlan
from trainer.training.losses import (
    debiased_weight,
    min_snr_weight,
    minimised,
    pseudo_huber,
    squared_error,
    weight,
)


def test_squared_error_is_the_mean_over_each_row() -> None:
    prediction = torch.zeros(2, 1, 2, 2)
    wanted = torch.tensor([[[[1.0, 1.0], [1.0, 3.0]]], [[[0.0, 0.0], [0.0, 2.0]]]])
    assert squared_error(prediction, wanted).tolist() == [3.0, 1.0]


@pytest.mark.parametrize(
    ("prediction", "wanted", "result"),
    [
        (torch.bfloat16, torch.float32, torch.float32),
        (torch.float16, torch.float16, torch.float32),
        (torch.float64, torch.float64, torch.float64),
    ],
)
def test_squared_error_is_never_computed_in_half_precision(
    prediction: torch.dtype, wanted: torch.dtype, result: torch.dtype
) -> None:
    values = squared_error(
        torch.full((1, 1, 1, 2), 300.0).to(prediction), torch.zeros(1, 1, 1, 2, dtype=wanted)
    )
    assert values.dtype == result
    assert values.item() == 90_000


def test_min_snr_weights_by_hand() -> None:
    alphas = torch.tensor([0.9, 0.5, 0.2], dtype=torch.float64)  # snr 9, 1, 1/4
    assert min_snr_weight(alphas, 5.0, "epsilon").tolist() == pytest.approx([5 / 9, 1.0, 1.0])
    assert min_snr_weight(alphas, 5.0, "v_prediction").tolist() == pytest.approx([5 / 10, 1 / 2, 0.25 / 1.25])


def test_min_snr_weights_agree_with_diffusers_signal_to_noise_ratio() -> None:
    from diffusers import DDPMScheduler
    from diffusers.training_utils import compute_snr

    scheduler = DDPMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear")
    when = torch.tensor([0, 10, 500, 999])
    snr = compute_snr(scheduler, when)
    wanted = torch.minimum(snr, torch.full_like(snr, 5.0)) / snr
    found = min_snr_weight(scheduler.alphas_cumprod[when].double(), 5.0, "epsilon")
    torch.testing.assert_close(found.float(), wanted, rtol=1e-4, atol=0)


def test_robust_losses_by_hand() -> None:
    """c = 3 and d = 4 make a root of 5."""
    error = torch.tensor([4.0, -4.0, 0.0])
    assert pseudo_huber(error, 3.0, 6.0).tolist() == [12.0, 12.0, 0.0]
    assert pseudo_huber(error, 3.0, 2.0).tolist() == [4.0, 4.0, 0.0]


def test_huber_is_the_square_for_small_errors_and_smooth_l1_twice_the_size_of_large_ones() -> None:
    error = torch.tensor([1e-3], dtype=torch.float64)
    assert pseudo_huber(error, 0.1, 0.2).item() == pytest.approx(1e-6, rel=1e-3)
    assert pseudo_huber(error * 1e5, 0.1, 2.0).item() == pytest.approx(2 * 100, rel=2e-3)


def test_each_row_minimises_its_own_loss() -> None:
    source = torch.Generator().manual_seed(0)
    said = torch.randn(4, 2, 3, 3, generator=source, dtype=torch.float64, requires_grad=True)
    wanted = torch.randn(4, 2, 3, 3, generator=source, dtype=torch.float64)
    plans = [
        NoisePlan(loss="huber", huber_c=0.5),
        NoisePlan(),
        NoisePlan(loss="smooth_l1", huber_c=0.2),
        NoisePlan(loss="smooth_l1", huber_c=1.0),
    ]
    found = minimised(squared_error(said, wanted), said, wanted, plans)
    error = (said - wanted).detach()
    pairs = zip(error, [0.5, None, 0.2, 1.0], [1.0, None, 2.0, 2.0], strict=True)
    means = [(e**2).mean() if c is None else (k * ((e**2 + c**2) ** 0.5 - c)).mean() for e, c, k in pairs]
    torch.testing.assert_close(found.detach(), torch.stack(means))
    found.sum().backward()
    slope = error[0] / (error[0] ** 2 + 0.25) ** 0.5 / error[0].numel()
    assert said.grad is not None
    torch.testing.assert_close(said.grad[0], slope)
    torch.testing.assert_close(said.grad[1], 2 * error[1] / error[1].numel())


def test_the_square_costs_nothing_where_all_rows_minimise_it() -> None:
    squared = torch.ones(2)
    assert minimised(squared, squared, squared, [NoisePlan(), NoisePlan()]) is squared


def test_debiased_weights_by_hand() -> None:
    alphas = torch.tensor([0.9, 0.5, 0.2, 0.9999], dtype=torch.float64)  # snr 9, 1, 1/4, 9999
    assert debiased_weight(alphas, "epsilon").tolist() == pytest.approx([1 / 3, 1, 2, 1000**-0.5])
    assert debiased_weight(alphas, "v_prediction").tolist() == pytest.approx([0.1, 0.5, 0.8, 1 / 1001])


def test_a_row_is_weighed_by_its_own_plan() -> None:
    alpha = torch.tensor(0.9, dtype=torch.float64)
    plans = [NoisePlan(), NoisePlan(min_snr_gamma=5), NoisePlan(debiased=True)]
    assert [weight(alpha, plan, "epsilon").item() for plan in plans] == pytest.approx([1, 5 / 9, 1 / 3])
