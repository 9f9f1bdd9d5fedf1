"""What sd-scripts' trainers of flow-matching bases ask for (``sd3_``, ``flux_`` and ``lumina_train_network``)."""

from __future__ import annotations

from collections.abc import Mapping

from studies.sd_scripts.settings import Settings
from trainer.bases.family import Family
from trainer.bases.process import Flow

MODULES: Mapping[str, str] = {
    "networks.lora_sd3": "lora",
    "networks.lora_flux": "lora",
    "networks.lora_lumina": "lora",
}
"""Their networks, which adapt whole blocks."""
SD3, FLUX, LUMINA = MODULES
_TRAINERS = {"sd3": SD3, "flux": FLUX, "chroma": FLUX}
"""Which of them trains a family, where LyCORIS' network does not tell."""
_UNIFORM_BY_SIZE = "nextdit_shift"
_BY_SIZE = ("flux_shift", "flux2_shift", "qwen_shift", "krea2_shift", _UNIFORM_BY_SIZE)
"""Samplings that shift by resolution, each as its base's pipeline does."""
_SAMPLINGS = ("sigma", "uniform", "sigmoid", "shift", *_BY_SIZE)
_SCHEMES = ("none", "uniform", "logit_normal", "mode", "sigma_sqrt", "cosmap")
_SHAPES = {
    "logit_mean": ("logit_normal", 0.0),
    "logit_std": ("logit_normal", 1.0),
    "mode_scale": ("mode", 1.29),
}
"""Keys -> the density that they shape, and their default."""
_PARTS = ("ae", "clip_l", "clip_g", "t5xxl", "gemma2")
_UNSAID: Mapping[str, Mapping[str, object]] = {
    SD3: {"weighting_scheme": "uniform", "training_shift": 1.0},
    FLUX: {
        "timestep_sampling": "sigma",
        "weighting_scheme": "uniform",
        "discrete_flow_shift": 3.0,
        "model_prediction_type": "sigma_scaled",
        "guidance_scale": 3.5,
    },
    LUMINA: {"timestep_sampling": "shift", "discrete_flow_shift": 6.0},
}
"""What their trainers take where a configuration says nothing."""
_SHIFT = 3.0
"""``discrete_flow_shift`` likewise, where the network does not tell the trainer."""


def flow(s: Settings, family: Family | None) -> None:
    """Sets how noise levels are spread and weighed, and which layers are adapted.

    Args:
        s: the configuration.
        family: of the base model; None if that is not on this disk.
    """
    for part in _PARTS:
        s.idle(part, "a diffusers folder holds all parts of the base model")
    s.idle("model_type", "the base itself tells its family")
    if family and family.name == "chroma":
        s.idle("apply_t5_attn_mask", "it is always so")
    trainer = _trainer(s, family)
    unsaid = {key: value for key, value in _UNSAID.get(trainer, {}).items() if not s.has(key)}
    s.values = {**s.values, **unsaid}
    s.implied |= unsaid.keys()
    if trainer == SD3:
        _of_pictures(s)
    else:
        _weighting(s, weighs=trainer not in (FLUX, LUMINA))
        _sampling(s)
    _leave_shapes(s)
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


def _leave_shapes(s: Settings) -> None:
    """Keys that shape another density than the one that is taken."""
    density = s.plan.get("noise.timestep_density")
    for key, (shaped, default) in _SHAPES.items():
        if density != shaped and s.has(key):
            if s.number(key) != default:
                s.idle(key, f"it shapes the density {shaped!r}")
            s.plan[f"noise.{key}"] = default


def own_shift(family: Family | None) -> float | str:
    """By what timesteps move when the family's own bases are rendered; by resolution where it is not known."""
    if family is None or not family.flows:
        return "resolution"
    shift = own_process(family).shift
    return "resolution" if shift.by_resolution else shift.factor


def own_process(family: Family) -> Flow:
    """That of the family's own bases, which matches a flow."""
    _, found = family.functions.process(family.configs, "flow", False)
    own: Flow = found  # type: ignore[assignment]
    return own


def _trainer(s: Settings, family: Family | None) -> str:
    """The network by which sd-scripts' trainer is known; empty: another program trains, or nobody can tell."""
    module = s.text("network_module")
    if module in MODULES:
        return module
    return _TRAINERS.get(family.name, "") if s.native and family and module.startswith("lycoris") else ""


def _weighting(s: Settings, weighs: bool = True) -> None:
    """One key says two things: how often noise levels are seen, or how much they count, if the trainer ``weighs``."""
    scheme = s.text("weighting_scheme", "none")
    if scheme not in _SCHEMES:
        s.problems.append(f"weighting_scheme must be one of {', '.join(_SCHEMES)}, but got {scheme!r}.")
    elif scheme in ("sigma_sqrt", "cosmap"):
        s.put("noise.timestep_density", "uniform", "weighting_scheme")
        if weighs:
            s.put("noise.loss_weighting", scheme, "weighting_scheme")
        else:
            s.refuse("weighting_scheme", f"{scheme!r} weighs nothing where directions are compared")
    elif s.has("weighting_scheme"):
        s.put("noise.timestep_density", "uniform" if scheme == "none" else scheme, "weighting_scheme")


def _of_pictures(s: Settings) -> None:
    """SD 3's trainer compares pictures, not directions, and counts quantiles from the clean end."""
    scheme = s.text("weighting_scheme")
    if scheme == "sigma_sqrt":
        s.put("noise.timestep_density", "uniform", "weighting_scheme")
    else:
        _weighting(s)
        s.put("noise.loss_weighting", "sigma_squared", "weighting_scheme")
    if scheme == "cosmap":
        s.refuse("weighting_scheme", "'cosmap' times sigma^2 is not supported, sigma^2 alone is taken")
    if s.has("logit_mean"):
        s.put("noise.logit_mean", -(s.number("logit_mean") or 0.0), "logit_mean")
    s.put("noise.timestep_shift", s.number("training_shift", 1.0), "training_shift")
    for key in ("timestep_sampling", "discrete_flow_shift", "sigmoid_scale"):
        s.idle(key, "it is for FLUX.1's trainer")


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
    elif sampling in _BY_SIZE:
        s.put("noise.timestep_shift", "resolution", key)
    else:
        s.put("noise.timestep_shift", 1.0, key)
    if sampling == "sigma":
        return
    uniform = sampling in ("uniform", _UNIFORM_BY_SIZE)
    s.put("noise.timestep_density", "uniform" if uniform else "logit_normal", key)
    for shape in ("logit_mean", "logit_std"):
        if s.has(shape) and s.number(shape) != _SHAPES[shape][1]:
            s.idle(shape, "timestep_sampling has its own")
    if not uniform:
        s.put("noise.logit_mean", 0.0, key)
        s.put("noise.logit_std", scale, "sigmoid_scale" if s.has("sigmoid_scale") else key)
