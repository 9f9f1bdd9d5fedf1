"""How pictures turn into noise, and what a network should say of one on its way (pure)."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING, Protocol, TypeVar

from trainer.plans.noise import NoisePlan

if TYPE_CHECKING:
    from torch import Tensor

Number = TypeVar("Number", float, "Tensor")
TIMESTEPS = 1000
"""Of a flow: a timestep is this many times sigma."""


class Process(Protocol):
    """A way from pictures to noise, in timesteps; the last is noise, or nearly so."""

    @property
    def count(self) -> int:
        """Timesteps."""

    @property
    def continuous(self) -> bool:
        """Whether a timestep may be any number, not a whole one only."""

    @property
    def prediction_type(self) -> str:
        """What the network says: "epsilon", "v_prediction" or "flow"."""

    @property
    def silence(self) -> float:
        """Mean squared error of a network that says nothing, where pictures and noise have variance 1."""

    def drawn(self, place: float, plan: NoisePlan, tokens: int) -> float:
        """The timestep of a place in [0, count), as a plan spreads them.

        Args:
            place: ``count`` times the share of all presentations that meet less noise.
            plan: of the row.
            tokens: numbers of patches that the network reads.
        """

    def strata(self, places: Tensor, tokens: int) -> Tensor:
        """The timesteps of validation at places in [0, 1), shape (n,)."""

    def level(self, timesteps: Tensor) -> Tensor:
        """How noisy, in float64: alphas_cumprod of a diffusion, sigma of a flow; shape (n,), on the CPU."""

    def noised(self, latents: Tensor, noise: Tensor, level: Tensor) -> Tensor:
        """What the network meets.

        Args:
            latents: shape (n, channels, h, w).
            noise: same shape.
            level: shape (n,).
        """

    def target(self, latents: Tensor, noise: Tensor, level: Tensor) -> Tensor:
        """What the network should say, of the same arguments."""


def noised(latents: Tensor, noise: Tensor, alphas_cumprod: Tensor) -> Tensor:
    """sqrt(a) x + sqrt(1 - a) noise (Ho et al. 2020, eq. 4).

    Args:
        latents: shape (n, channels, h, w).
        noise: same shape.
        alphas_cumprod: a at each row's timestep, shape (n,).
    """
    a = alphas_cumprod.view(-1, 1, 1, 1).to(latents)
    return a.sqrt() * latents + (1 - a).sqrt() * noise


def target(latents: Tensor, noise: Tensor, alphas_cumprod: Tensor, prediction_type: str) -> Tensor:
    """What the U-Net should say: the noise, or v = sqrt(a) noise - sqrt(1 - a) x (Salimans & Ho 2022)."""
    if prediction_type == "epsilon":
        return noise
    a = alphas_cumprod.view(-1, 1, 1, 1).to(latents)
    return a.sqrt() * noise - (1 - a).sqrt() * latents


@dataclass(frozen=True, slots=True, eq=False)
class Diffusion:
    """Pictures fade as noise grows, variance kept (Ho et al. 2020)."""

    alphas_cumprod: Tensor
    """Shape (timesteps,), float64 on the CPU: the share of signal power left at each timestep."""
    prediction_type: str
    continuous: bool = False
    silence: float = 1.0

    @property
    def count(self) -> int:
        """Timesteps."""
        return len(self.alphas_cumprod)

    def drawn(self, place: float, plan: NoisePlan, tokens: int) -> float:
        """Uniform in the plan's range, whole."""
        first, last = plan.min_timestep, min(plan.max_timestep, self.count)
        return first + int(place * (last - first) / self.count)

    def strata(self, places: Tensor, tokens: int) -> Tensor:
        """Uniform over the schedule, as whole numbers."""
        return (places * self.count).long().clamp(max=self.count - 1)

    def level(self, timesteps: Tensor) -> Tensor:
        """alphas_cumprod."""
        return self.alphas_cumprod[timesteps]

    def noised(self, latents: Tensor, noise: Tensor, level: Tensor) -> Tensor:
        """Ho et al. 2020, eq. 4."""
        return noised(latents, noise, level)

    def target(self, latents: Tensor, noise: Tensor, level: Tensor) -> Tensor:
        """The noise or v."""
        return target(latents, noise, level, self.prediction_type)


@dataclass(frozen=True, slots=True)
class Shift:
    """Where timesteps move as pictures grow: sigma -> s sigma / (1 + (s - 1) sigma) (Esser et al. 2024, eq. 23).

    By resolution s is exp(mu), and mu is linear in the number of patches, as FLUX.1's pipeline has it.
    """

    factor: float = 1.0
    """s, whatever the resolution."""
    by_resolution: bool = False
    """Whether the base model's own scheduler shifts by resolution."""
    patches: tuple[int, int] = (256, 4096)
    """Numbers of patches at which mu has the ends below."""
    mu: tuple[float, float] = (0.5, 1.15)

    def at(self, tokens: int) -> float:
        """s by resolution."""
        return math.exp(self.mu_at(tokens))

    def mu_at(self, tokens: int) -> float:
        """mu by resolution."""
        (few, many), (low, high) = self.patches, self.mu
        return low + (high - low) * (tokens - few) / (many - few)


@dataclass(frozen=True, slots=True)
class Flow:
    """Pictures and noise are mixed along a straight line, whose direction the network says (Liu et al. 2022).

    A timestep is 1000 sigma.
    """

    shift: Shift = Shift()
    """The base model's own: of its validation, and of plans that say none."""
    density: str = "uniform"
    """Of plans that say none: how the family's own recipe spreads timesteps."""
    shifts_training: bool = True
    """Whether plans that say no shift take the base model's; FLUX.1's recipes leave training as it is."""
    prediction_type: str = "flow"
    continuous: bool = True
    silence: float = 2.0
    count: int = TIMESTEPS

    def drawn(self, place: float, plan: NoisePlan, tokens: int) -> float:
        """The quantile of the plan's density at a place, then shifted, then brought into the plan's range."""
        density = plan.timestep_density or self.density
        sigma = DENSITIES[density](place / self.count, plan)
        wanted = plan.timestep_shift
        if wanted is None and self.shifts_training:
            wanted = "resolution" if self.shift.by_resolution else self.shift.factor
        factor = self.shift.at(tokens) if wanted == "resolution" else (wanted or 1.0)
        last = min(plan.max_timestep, self.count)
        return plan.min_timestep + shifted(sigma, factor) * (last - plan.min_timestep)

    def strata(self, places: Tensor, tokens: int) -> Tensor:
        """Uniform, then shifted as the base model renders; in float64."""
        factor = self.shift.at(tokens) if self.shift.by_resolution else self.shift.factor
        found: Tensor = shifted(places.double(), factor)
        return found * self.count

    def level(self, timesteps: Tensor) -> Tensor:
        """sigma."""
        return timesteps.double() / self.count

    def noised(self, latents: Tensor, noise: Tensor, level: Tensor) -> Tensor:
        """(1 - sigma) x + sigma noise."""
        sigma = level.view(-1, 1, 1, 1).to(latents)
        return (1 - sigma) * latents + sigma * noise

    def target(self, latents: Tensor, noise: Tensor, level: Tensor) -> Tensor:
        """noise - x, at every sigma."""
        return noise - latents


def shifted(sigma: Number, factor: float) -> Number:
    """s sigma / (1 + (s - 1) sigma) (Esser et al. 2024, eq. 23)."""
    return factor * sigma / (1 + (factor - 1) * sigma)


def _logit_normal(place: float, plan: NoisePlan) -> float:
    """1 - sigma has a normal logit (Esser et al. 2024, eq. 19, in the direction of diffusers and sd-scripts)."""
    if place <= 0:
        return 0.0
    return 0.5 * (1 + math.tanh((plan.logit_std * NormalDist().inv_cdf(place) - plan.logit_mean) / 2))


def _mode(place: float, plan: NoisePlan) -> float:
    """Heavy tails (Esser et al. 2024, eq. 20); the same in either direction."""
    return place + plan.mode_scale * (math.cos(math.pi * place / 2) ** 2 - 1 + place)


def _uniform(place: float, plan: NoisePlan) -> float:
    return place


DENSITIES: Mapping[str, Callable[[float, NoisePlan], float]] = {
    "uniform": _uniform,
    "logit_normal": _logit_normal,
    "mode": _mode,
}
"""Quantile functions: the share of presentations that meet less noise -> sigma."""
