"""Losses by hand and against diffusers."""

from __future__ import annotations

import pytest
import torch

from trainer.losses import min_snr_weight, squared_error


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
