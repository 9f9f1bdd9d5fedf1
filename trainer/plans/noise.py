"""The section [plan.noise]."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import model_validator

from trainer.plans.fields import Frozen, Switchable, field, means, same

LossName = Literal["l2", "huber", "smooth_l1"]


class NoisePlan(Frozen):
    """What is added to the latents, and how the loss weighs it."""

    offset: float = field(0.0, same("noise_offset", unit="standard deviations"), ge=0, le=1)
    """noise += offset * randn(batch, channels, 1, 1)."""
    adaptive_scale: float = field(
        0.0, same("adaptive_noise_scale", unit="offset per mean of the latent"), ge=-1, le=1
    )
    """The offset of each channel becomes max(0, offset + adaptive_scale * |mean of the latent|)."""
    multires_iterations: int = field(
        0, same("multires_noise_iterations", unit="levels", row="pyramid noise"), ge=0, le=16
    )
    """Levels of pyramid noise, usually 6-10 (``multires_noise_iterations``); 0 is plain noise."""
    multires_discount: float = field(
        0.3, same("multires_noise_discount", unit="factor a level", row="pyramid noise"), gt=0, le=1
    )
    """Weight of each pyramid level over that of the level before (``multires_noise_discount``)."""
    ip_gamma: float = field(0.0, same("ip_noise_gamma", unit="standard deviations"), ge=0, le=1)
    """The input is built with noise + ip_gamma * randn, the target stays (Ning et al. 2023); 0 is off."""
    min_timestep: int = field(0, same("min_timestep", unit="timestep"), ge=0, le=999)
    """The first timestep that is trained."""
    max_timestep: int = field(1000, same("max_timestep", unit="timestep"), ge=1, le=1000)
    """The first timestep after those that are trained."""
    min_snr_gamma: Annotated[float | None, Switchable] = field(None, same("min_snr_gamma", unit="SNR"), gt=0)
    """Min-SNR loss weight min(snr, gamma) / snr (Hang et al. 2023, eq. 7); None (``off``) weighs all alike."""
    debiased: bool = field(False, same("debiased_estimation_loss"))
    """Loss weight 1 / sqrt(min(snr, 1000)) (``debiased_estimation_loss``; Yu et al. 2023); v: 1 / (snr + 1)."""
    loss: LossName = field("l2", means("loss_type", row="l2 / huber / smooth l1"))
    """What is minimised; the training loss that is reported stays the mean squared error."""
    huber_c: float = field(0.1, same("huber_c", unit="error", row="huber / smooth l1"), gt=0)
    """Error at which ``huber`` and ``smooth_l1`` turn from square to straight."""

    @property
    def plain(self) -> bool:
        """Whether noise and timestep are the presentation's own, but for the offset."""
        return not (
            self.multires_iterations or self.ip_gamma or self.min_timestep or self.max_timestep < 1000
        )

    @model_validator(mode="after")
    def _agree(self) -> Self:
        problems = []
        if self.min_timestep >= self.max_timestep:
            problems.append(
                f"min_timestep must be below max_timestep, but got {self.min_timestep} >= {self.max_timestep}"
            )
        if self.debiased and self.min_snr_gamma is not None:
            problems.append(
                f"debiased = true and min_snr_gamma = {self.min_snr_gamma} both weigh the timesteps; keep one"
            )
        if problems:
            raise ValueError("; ".join(problems))
        return self
