"""Noise against diffusers' own scheduler, and by position."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
import torch
from diffusers import DDPMScheduler

from trainer.bases.process import Diffusion
from trainer.plans.noise import NoisePlan
from trainer.seeds import generator
from trainer.training.noise import (
    NoiseRow,
    coarsened,
    disturbance,
    draw,
    largest_offset,
    noised,
    pyramid,
    specialise,
    target,
    timestep,
    with_offset,
)

SHAPE = (4, 16, 16)
EVEN = Diffusion(torch.linspace(0.99, 0.01, 1000, dtype=torch.float64), "epsilon")


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


def row(presentation: int = 5, **fields: Any) -> NoiseRow:
    return NoiseRow(0, NoisePlan(**fields), 3, presentation)


def test_the_adaptive_offset_follows_the_lightness_of_each_channel() -> None:
    drawn = draw(3, 5, SHAPE, 1000)
    clean = torch.stack([torch.full((16, 16), value) for value in (0.5, -2.0, 0.0, 0.1)])
    found = with_offset(drawn, NoisePlan(offset=0.05, adaptive_scale=-0.1), clean, torch.float32)
    shares = torch.tensor([0.0, 0.0, 0.05, 0.04])  # max(0, 0.05 - 0.1 |mean|)
    torch.testing.assert_close(found, drawn.noise + shares.view(4, 1, 1) * drawn.offset)


def test_a_plain_offset_is_the_same_whatever_the_latent() -> None:
    drawn = draw(3, 5, SHAPE, 1000)
    found = with_offset(drawn, NoisePlan(offset=0.1), torch.full(SHAPE, 7.0), torch.float32)
    assert torch.equal(found, drawn.noise + 0.1 * drawn.offset)


def test_noise_without_offset_is_the_draw_itself() -> None:
    drawn = draw(3, 5, SHAPE, 1000)
    assert torch.equal(with_offset(drawn, NoisePlan(), torch.ones(SHAPE), torch.float32), drawn.noise)


@pytest.mark.parametrize(("scale", "largest"), [(0.0, 0.1), (0.2, 0.7), (-0.2, 0.1)])
def test_no_latents_offset_is_above_the_largest(scale: float, largest: float) -> None:
    plan = NoisePlan(offset=0.1, adaptive_scale=scale)
    assert largest_offset(plan) == pytest.approx(largest)
    drawn = draw(3, 5, SHAPE, 1000)
    for value in (0.0, 1.5, 3.0):
        found = with_offset(drawn, plan, torch.full(SHAPE, value), torch.float32) - drawn.noise
        assert (found.abs() <= (largest + 1e-5) * drawn.offset.abs() + 1e-5).all()


def published_pyramid(
    noise: torch.Tensor, iterations: int, discount: float, seed: int = 3, presentation: int = 5
) -> torch.Tensor:
    """The definition, one picture at a time, on the same random numbers."""
    source = generator(seed, "pyramid", presentation)
    _, height, width = noise.shape
    grown = torch.nn.Upsample(size=(height, width), mode="bilinear")
    for i in range(iterations):
        ratio = 2 + 2 * torch.rand((), generator=source).item()
        h, w = max(1, int(height / ratio**i)), max(1, int(width / ratio**i))
        noise = noise + grown(torch.randn(1, 4, h, w, generator=source))[0].to(noise) * discount**i
        if h == 1 or w == 1:
            break
    return noise / noise.std()


@pytest.mark.parametrize(("iterations", "discount"), [(1, 0.3), (2, 0.8), (10, 0.5)])
def test_pyramid_noise_by_its_definition(iterations: int, discount: float) -> None:
    drawn = draw(3, 5, SHAPE, 1000)
    plan = {"offset": 0.1, "multires_iterations": iterations, "multires_discount": discount}
    found = coarsened(with_offset(drawn, NoisePlan(**plan), torch.zeros(SHAPE), torch.float32), row(**plan))
    wanted = published_pyramid(drawn.noise + 0.1 * drawn.offset, iterations, discount)
    torch.testing.assert_close(found, wanted)
    assert found.std().item() == pytest.approx(1)


def test_a_pyramid_ends_at_one_pixel_and_fewer_levels_are_the_first_of_more() -> None:
    full = pyramid(3, 5, SHAPE, 16)
    assert 3 <= len(full) <= 5  # 16 pixels shrink by 2-4 at each level
    assert torch.equal(pyramid(3, 5, SHAPE, 2), full[:2])
    assert (full[-1].std(dim=(1, 2)) < 1e-6).all()


@pytest.mark.parametrize(("first", "last"), [(0, 1000), (200, 900), (999, 1000), (0, 3)])
def test_timesteps_are_uniform_in_their_range_and_keep_their_order(first: int, last: int) -> None:
    draws = torch.randint(1000, (6000,), generator=torch.Generator().manual_seed(0)).tolist()
    found = [timestep(t, EVEN, row(i, min_timestep=first, max_timestep=last)) for i, t in enumerate(draws)]
    assert first <= min(found) < first + max(1, (last - first) // 50)
    assert last - max(1, (last - first) // 50) <= max(found) < last
    mean, spread = (first + last - 1) / 2, (last - first) / 12**0.5
    assert sum(found) / len(found) == pytest.approx(mean, abs=4 * spread / 6000**0.5 + 1e-9)
    ordered = [t for _, t in sorted(zip(draws, found, strict=True))]
    assert all(later - earlier >= -1 for earlier, later in pairwise(ordered))


def test_the_whole_range_keeps_the_timestep() -> None:
    assert [timestep(t, EVEN, row()) for t in (0, 17, 999)] == [0, 17, 999]


def test_input_disturbance_is_drawn_by_position_and_leaves_the_target() -> None:
    drawn = [draw(3, i, SHAPE, 1000) for i in range(2)]
    noise, when = torch.stack([d.noise for d in drawn]), torch.tensor([d.timestep for d in drawn])
    before, then = noise.clone(), when.clone()
    special = [NoiseRow(1, NoisePlan(ip_gamma=0.1), 3, 1)]
    met = specialise(special, drawn, noise, when, EVEN)
    assert torch.equal(noise, before)
    assert torch.equal(when, then)
    assert torch.equal(met[0], noise[0])
    torch.testing.assert_close(met[1], noise[1] + 0.1 * disturbance(3, 1, SHAPE))
    assert disturbance(3, 1, SHAPE).std().item() == pytest.approx(1, abs=0.1)
    assert not torch.equal(disturbance(3, 1, SHAPE), drawn[1].noise)


def test_only_the_rows_that_ask_are_changed() -> None:
    drawn = [draw(3, i, SHAPE, 1000) for i in range(3)]
    noise, when = torch.stack([d.noise for d in drawn]), torch.tensor([d.timestep for d in drawn])
    before, then = noise.clone(), when.clone()
    special = [NoiseRow(1, NoisePlan(multires_iterations=6, max_timestep=10), 3, 1)]
    met = specialise(special, drawn, noise, when, EVEN)
    assert met is noise
    assert [torch.equal(a, b) for a, b in zip(noise, before, strict=True)] == [True, False, True]
    assert (when[0], when[2]) == (then[0], then[2])
    assert when[1] < 10
