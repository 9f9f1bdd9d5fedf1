"""What a plan asks that a family of base models has no use for (pure)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trainer.bases.family import Family
from trainer.plan import TrainingPlan

_SNR = "weighs timesteps of a diffusion, but {title} matches a flow, for which noise.loss_weighting does that"
_ENDS = "mends a diffusion that never sees pure noise, but {title} does"
_WINDOWS = "reads captions window by window, as Stable Diffusion's U-Nets do; {title} reads whole captions"
_FLOW = "is of flow-matching bases, but {title} is a diffusion"
_GUIDANCE = "is told to bases with a guidance embedding, such as FLUX.1 dev, but {title} has none"
_READS = "is not for {title}, whose text encoder stays as it is"
ON_FLOWS: Mapping[str, str] = {
    "noise.min_snr_gamma": _SNR,
    "noise.debiased": _SNR,
    "noise.offset": _ENDS,
    "noise.adaptive_scale": _ENDS,
    "noise.multires_iterations": _ENDS,
    "data.weighted_captions": _WINDOWS,
    "data.max_token_length": _WINDOWS,
    "lora.conv_rank": "is of 3x3 convolutions, but {title} has none; lora.layers = 'all' adapts more of it",
}
"""Fields that a flow has no use for -> why."""
ON_DIFFUSIONS: Mapping[str, str] = {
    "noise.timestep_density": _FLOW,
    "noise.timestep_shift": _FLOW,
    "noise.logit_mean": _FLOW,
    "noise.logit_std": _FLOW,
    "noise.mode_scale": _FLOW,
    "noise.loss_weighting": _FLOW + ", for which noise.min_snr_gamma does that",
    "lora.layers": "is of transformers; on {title} lora.conv_rank adapts more of the U-Net",
}


def table(family: Family) -> dict[str, str]:
    """Fields that the family has no use for -> why."""
    found = dict(ON_FLOWS if family.flows else ON_DIFFUSIONS)
    if not family.rendering.embedded:
        found["noise.guidance"] = _GUIDANCE
    if not family.trained_encoders:
        found["lora.text_encoder"] = _READS
    return {name: why.format(title=family.title) for name, why in found.items()}


def misfits(family: Family, plan: TrainingPlan) -> list[str]:
    """Plan fields that cannot act on the family, a sentence without its full stop each."""
    return [
        *family.misfits(plan.base.clip_skip, plan.optimiser.text2_lr_over_unet_lr),
        *(problem for name, why in table(family).items() if (problem := _problem(plan, name, why))),
    ]


def _problem(plan: TrainingPlan, name: str, why: str) -> str | None:
    """What is wrong with a field that is not at its default."""
    section, _, field = name.partition(".")
    own: Any = getattr(plan, section)
    value = getattr(own, field)
    if value == type(own).model_fields[field].default:
        return None
    told = str(value).lower() if isinstance(value, bool) else repr(value)
    return f"{name} = {told}: this {why}; leave it out"
