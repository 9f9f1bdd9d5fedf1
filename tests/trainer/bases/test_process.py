"""How flows spread and mix noise, against diffusers' own functions and schedulers."""

from __future__ import annotations

import math

import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler
from diffusers.training_utils import compute_density_for_timestep_sampling, compute_loss_weighting_for_sd3

from trainer.bases.process import Flow, Shift
from trainer.bases.schedule import shift_of
from trainer.plans.noise import NoisePlan
from trainer.training.losses import weight

PLANS = {
    "logit_normal": NoisePlan(timestep_density="logit_normal", logit_mean=0.4, logit_std=0.7),
    "mode": NoisePlan(timestep_density="mode", mode_scale=0.9),
    "uniform": NoisePlan(timestep_density="uniform"),
}
COUNT = 4000


@pytest.mark.parametrize("name", PLANS)
def test_a_density_has_the_quantiles_of_diffusers_draws(name: str) -> None:
    """diffusers' draw is the place in a list of timesteps from noise to picture, so that sigma is 1 - u."""
    plan, source = PLANS[name], torch.Generator().manual_seed(0)
    drawn = compute_density_for_timestep_sampling(
        name if name != "uniform" else "none",
        COUNT,
        plan.logit_mean,
        plan.logit_std,
        plan.mode_scale,
        generator=source,
    )
    places = [1000 * (i + 0.5) / COUNT for i in range(COUNT)]
    found = torch.tensor([Flow().drawn(place, plan, 0) for place in places]) / 1000
    assert (found.diff() > 0).all()
    assert float(((1 - drawn).sort().values - found).abs().max()) < 0.03


def test_mode_is_symmetric_and_logit_normal_leans_to_pictures_above_0() -> None:
    for place in (0.0, 100.0, 499.0):
        ends = [Flow().drawn(at, PLANS["mode"], 0) for at in (place, 1000 - place)]
        assert sum(ends) == pytest.approx(1000)
    middle = Flow().drawn(500, PLANS["logit_normal"], 0)
    assert middle == pytest.approx(1000 / (1 + math.exp(0.4)))
    assert Flow().drawn(0, PLANS["logit_normal"], 0) == 0


def test_a_shift_is_the_schedulers() -> None:
    scheduler = FlowMatchEulerDiscreteScheduler(shift=3.0)
    flow = Flow(shift_of(scheduler.config))
    found = [flow.drawn(place, NoisePlan(), 0) for place in range(1, 1001)]
    torch.testing.assert_close(torch.tensor(found[::-1]), scheduler.timesteps, rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize("tokens", [256, 1024, 5000])
def test_a_shift_by_resolution_is_that_of_diffusers_pipelines(tokens: int) -> None:
    from diffusers.pipelines.flux.pipeline_flux import calculate_shift

    scheduler = FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True)
    flow = Flow(shift_of(scheduler.config))
    scheduler.set_timesteps(sigmas=[0.9, 0.5, 0.1], mu=calculate_shift(tokens))
    wanted = scheduler.timesteps.double()
    torch.testing.assert_close(flow.strata(torch.tensor([0.9, 0.5, 0.1]), tokens), wanted, rtol=1e-5, atol=0)
    plan = NoisePlan(timestep_shift="resolution", timestep_density="uniform")
    assert flow.drawn(500, plan, tokens) == pytest.approx(float(wanted[1]), rel=1e-5)
    assert Flow(Shift(4.0)).drawn(500, NoisePlan(timestep_shift=1.0), tokens) == pytest.approx(500)


def test_a_plans_range_holds_all_timesteps() -> None:
    plan = NoisePlan(min_timestep=200, max_timestep=700, timestep_shift=3.0)
    found = [Flow().drawn(place, plan, 0) for place in (0.0, 300.0, 999.999)]
    assert found[0] == 200 and 200 < found[1] < 700 and found[2] == pytest.approx(700, abs=0.01)


def test_noise_is_mixed_as_the_scheduler_mixes_it_and_a_step_of_the_target_leads_back() -> None:
    clean, noise = torch.randn(2, 3, 4, 8, 8, generator=torch.Generator().manual_seed(0)).double()
    scheduler = FlowMatchEulerDiscreteScheduler()
    when = scheduler.timesteps[[100, 500, 900]].double()
    flow = Flow()
    level = flow.level(when)
    mixed = flow.noised(clean, noise, level)
    torch.testing.assert_close(mixed, scheduler.scale_noise(clean, when.float(), noise), rtol=1e-6, atol=1e-6)
    back = mixed - level.view(-1, 1, 1, 1) * flow.target(clean, noise, level)
    torch.testing.assert_close(back, clean)


@pytest.mark.parametrize("name", ["sigma_sqrt", "cosmap"])
def test_loss_weights_are_diffusers(name: str) -> None:
    sigma = torch.tensor([0.05, 0.5, 0.99])
    plan = NoisePlan.model_validate({"loss_weighting": name})
    torch.testing.assert_close(weight(sigma, plan, "flow"), compute_loss_weighting_for_sd3(name, sigma))
    assert weight(sigma, NoisePlan(), "flow").tolist() == [1, 1, 1]
    assert weight(torch.tensor([0.0]), plan, "flow").isfinite()


def test_by_sigma_squared_the_error_is_the_pictures() -> None:
    """As SD 3's trainers have it: x_t - sigma v against x."""
    clean, noise, said = torch.randn(3, 2, 4, 8, 8, generator=torch.Generator().manual_seed(0)).double()
    flow, level = Flow(), torch.tensor([0.2, 0.9]).double()
    sides = level.view(-1, 1, 1, 1)
    picture = flow.noised(clean, noise, level) - sides * said
    error = (said - flow.target(clean, noise, level)).square().mean((1, 2, 3))
    factor = weight(level, NoisePlan(loss_weighting="sigma_squared"), "flow")
    torch.testing.assert_close(factor * error, (picture - clean).square().mean((1, 2, 3)))
