"""What sd-scripts' trainers of flow-matching bases ask for (``sd3_``, ``flux_`` and ``lumina_train_network``)."""

from __future__ import annotations

from collections.abc import Mapping

from studies.sd_scripts.settings import Settings
from trainer.bases.family import Family

MODULES: Mapping[str, str] = {
    "networks.lora_sd3": "lora",
    "networks.lora_flux": "lora",
    "networks.lora_lumina": "lora",
}
"""Their networks, which adapt whole blocks."""
_SAMPLINGS = ("sigma", "uniform", "sigmoid", "shift", "flux_shift", "nextdit_shift")
_SCHEMES = ("none", "uniform", "logit_normal", "mode", "sigma_sqrt", "cosmap")
_PARTS = ("ae", "clip_l", "clip_g", "t5xxl", "gemma2")
_SHIFT = 3.0
"""``discrete_flow_shift`` where nothing is said."""


def flow(s: Settings, family: Family | None) -> None:
    """Sets how noise levels are spread and weighed, and which layers are adapted.

    Args:
        s: the configuration.
        family: of the base model; None if that is not on this disk.
    """
    for part in _PARTS:
        s.idle(part, "a diffusers folder holds all parts of the base model")
    _weighting(s)
    _sampling(s)
    if s.has("guidance_scale"):
        s.put("noise.guidance", s.number("guidance_scale", 1.0), "guidance_scale")
    kind = s.text("model_prediction_type", "raw")
    if kind != "raw":
        s.refuse(
            "model_prediction_type", f"{kind!r} is not supported, the direction itself is compared ('raw')"
        )
    if s.text("network_module") in MODULES:
        s.put("lora.layers", "all", "network_module")
    if family and not family.trained_encoders:
        s.plan["lora.text_encoder"] = False


def _weighting(s: Settings) -> None:
    """One key says two things: how often noise levels are seen, or how much they count."""
    scheme = s.text("weighting_scheme", "none")
    if scheme not in _SCHEMES:
        s.problems.append(f"weighting_scheme must be one of {', '.join(_SCHEMES)}, but got {scheme!r}.")
    elif scheme in ("sigma_sqrt", "cosmap"):
        s.put("noise.loss_weighting", scheme, "weighting_scheme")
        s.put("noise.timestep_density", "uniform", "weighting_scheme")
    elif s.has("weighting_scheme"):
        s.put("noise.timestep_density", "uniform" if scheme == "none" else scheme, "weighting_scheme")


def _sampling(s: Settings) -> None:
    sampling, scale = s.text("timestep_sampling"), s.number("sigmoid_scale", 1.0)
    shift, of_sd3 = s.number("discrete_flow_shift", _SHIFT), s.number("training_shift")
    if of_sd3 is not None:
        s.put("noise.timestep_shift", of_sd3, "training_shift")
    if not sampling:
        if s.has("discrete_flow_shift"):
            s.put("noise.timestep_shift", shift, "discrete_flow_shift")
        return
    if sampling not in _SAMPLINGS:
        s.problems.append(f"timestep_sampling must be one of {', '.join(_SAMPLINGS)}, but got {sampling!r}.")
        return
    key = "timestep_sampling"
    if sampling in ("sigma", "shift"):
        s.put("noise.timestep_shift", shift, "discrete_flow_shift" if s.has("discrete_flow_shift") else key)
    elif sampling in ("flux_shift", "nextdit_shift"):
        s.put("noise.timestep_shift", "resolution", key)
    else:
        s.put("noise.timestep_shift", 1.0, key)
    if sampling == "sigma":
        return
    s.put("noise.timestep_density", "uniform" if sampling == "uniform" else "logit_normal", key)
    if sampling != "uniform":
        s.put("noise.logit_mean", 0.0, key)
        s.put("noise.logit_std", scale, "sigmoid_scale" if s.has("sigmoid_scale") else key)
