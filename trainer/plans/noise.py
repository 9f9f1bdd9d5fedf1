"""The section [plan.noise]."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from trainer.plans.fields import Frozen, Switchable, field, means, same

LossName = Literal["l2", "huber", "smooth_l1"]
Density = Literal["uniform", "logit_normal", "mode"]
Weighting = Literal["none", "sigma_sqrt", "cosmap", "sigma_squared"]


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
    timestep_density: Density | None = field(
        None, means("weighting_scheme", "timestep_sampling", row="timestep sampling, timestep density")
    )
    """How often each noise level is trained on a flow-matching base; None is as the base's family is trained."""
    timestep_shift: Annotated[float, Field(gt=0, le=100)] | Literal["resolution"] | None = field(
        None, means("training_shift", "discrete_flow_shift", unit="factor", row="timestep shift")
    )
    """Moves them: sigma becomes s sigma / (1 + (s - 1) sigma); s above 1 is more noise. "resolution" takes s from the
    size of the pictures, None is the family's own."""
    logit_mean: float = field(0.0, same("logit_mean", unit="logit"), ge=-5, le=5)
    """Of ``logit_normal``; above 0 is less noise, as diffusers and sd-scripts have it."""
    logit_std: float = field(1.0, same("logit_std", unit="logit"), gt=0, le=5)
    """Of ``logit_normal``: smaller gathers timesteps in the middle."""
    mode_scale: float = field(1.29, same("mode_scale"), ge=-1, le=1.75)
    """Of ``mode``: 0 is uniform, larger takes more of the middle (Esser et al. 2024, eq. 20)."""
    loss_weighting: Weighting = field("none", means("weighting_scheme", row="loss weighting"))
    """Weighs noise levels on a flow-matching base: by 1 / sigma^2 (``sigma_sqrt``), by ``cosmap`` (Esser et al. 2024,
    eq. 21), or by sigma^2 (``sigma_squared``), which gives the error of the picture, as SD 3's trainers have it."""
    guidance: float = field(
        1.0, means("guidance_scale", unit="guidance", row="guidance (FLUX)"), ge=0, le=100
    )
    """What a base with a guidance embedding (FLUX.1 dev) is told in training."""
    loss: LossName = field("l2", means("loss_type", row="l2 / huber / smooth l1"))
    """What is minimised; the training loss that is reported stays the mean squared error."""
    huber_c: float = field(0.1, same("huber_c", unit="error", row="huber / smooth l1"), gt=0)
    """Error at which ``huber`` and ``smooth_l1`` turn from square to straight."""

    @property
    def weighs(self) -> bool:
        """Whether noise levels count differently."""
        return self.min_snr_gamma is not None or self.debiased or self.loss_weighting != "none"

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
        for name, density in (
            ("logit_mean", "logit_normal"),
            ("logit_std", "logit_normal"),
            ("mode_scale", "mode"),
        ):
            chosen = self.timestep_density
            if chosen not in (None, density) and getattr(self, name) != type(self).model_fields[name].default:
                problems.append(
                    f"{name} = {getattr(self, name)} acts only with timestep_density = '{density}', but got '{chosen}'"
                )
        if problems:
            raise ValueError("; ".join(problems))
        return self
