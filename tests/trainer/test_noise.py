"""Noise against diffusers' own scheduler, and by position."""

from __future__ import annotations

import pytest
import torch
from diffusers import DDPMScheduler

from trainer.noise import draw, noised, target

SHAPE = (4, 16, 16)


@pytest.fixture
def scheduler() -> DDPMScheduler:
    return DDPMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear")


def batch() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    source = torch.Generator().manual_seed(0)
    clean, added = torch.randn(3, *SHAPE, generator=source), torch.randn(3, *SHAPE, generator=source)
    return clean, added, torch.tensor([0, 400, 999])


def test_noised_latents_equal_those_of_diffusers(scheduler: DDPMScheduler) -> None:
    clean, added, when = batch()
    found = noised(clean, added, scheduler.alphas_cumprod.double()[when])
    torch.testing.assert_close(found, scheduler.add_noise(clean, added, when), rtol=1e-5, atol=1e-6)


def test_velocity_targets_equal_those_of_diffusers(scheduler: DDPMScheduler) -> None:
    clean, added, when = batch()
    found = target(clean, added, scheduler.alphas_cumprod.double()[when], "v_prediction")
    torch.testing.assert_close(found, scheduler.get_velocity(clean, added, when), rtol=1e-5, atol=1e-6)


def test_the_epsilon_target_is_the_noise(scheduler: DDPMScheduler) -> None:
    clean, added, when = batch()
    assert torch.equal(target(clean, added, scheduler.alphas_cumprod[when], "epsilon"), added)


def test_a_presentation_is_drawn_from_seed_and_position_alone() -> None:
    first = draw(3, 17, SHAPE, 1000)
    draw.cache_clear()
    torch.manual_seed(99)
    again = draw(3, 17, SHAPE, 1000)
    assert again.timestep == first.timestep
    assert torch.equal(again.noise, first.noise)
    assert torch.equal(again.offset, first.offset)
    assert not torch.equal(draw(4, 17, SHAPE, 1000).noise, first.noise)
    assert not torch.equal(draw(3, 18, SHAPE, 1000).noise, first.noise)


def test_draws_are_uniform_in_time_and_normal_in_value() -> None:
    draws = [draw(0, i, (4, 2, 2), 1000) for i in range(2000)]
    times = torch.tensor([d.timestep for d in draws]).double()
    values = torch.stack([d.noise for d in draws])
    offsets = torch.stack([d.offset for d in draws])
    assert 0 <= times.min() < 10
    assert 990 <= times.max() < 1000
    assert times.mean().item() == pytest.approx(499.5, abs=4 * 1000 / (12 * 2000) ** 0.5)
    assert values.mean().item() == pytest.approx(0, abs=4 / values.numel() ** 0.5)
    assert values.std().item() == pytest.approx(1, abs=0.02)
    assert offsets.shape == (2000, 4, 1, 1)
    assert offsets.std().item() == pytest.approx(1, abs=0.05)
