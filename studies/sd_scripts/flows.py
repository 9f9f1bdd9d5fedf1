"""What sd-scripts' trainers of flow-matching bases ask for (``sd3_``, ``flux_`` and ``lumina_train_network``)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from studies.errors import StudyError
from studies.sd_scripts.settings import Settings
from trainer.bases.family import Family
from trainer.bases.process import Flow
from trainer.lora_files import version
from trainer.plans.noise import NoisePlan

MODULES: Mapping[str, str] = {
    "networks.lora_sd3": "lora",
    "networks.lora_flux": "lora",
    "networks.lora_lumina": "lora",
}
"""Their networks, which adapt whole blocks."""
_SD3, _FLUX, _LUMINA = MODULES
_BY_SIZE = ("flux_shift", "flux2_shift", "nextdit_shift", "qwen_shift", "krea2_shift")
"""Samplings that shift by resolution, each as its base's pipeline does."""
_SAMPLINGS = ("sigma", "uniform", "sigmoid", "shift", *_BY_SIZE)
_SCHEMES = ("none", "uniform", "logit_normal", "mode", "sigma_sqrt", "cosmap")
_BY_RESOLUTION = 'noise.timestep_shift = "resolution"; with this density it has one for all sizes'
_PARTS = ("ae", "clip_l", "clip_g", "t5xxl", "gemma2")
_UNSAID: Mapping[str, Mapping[str, object]] = {
    _SD3: {"weighting_scheme": "uniform", "training_shift": 1.0},
    _FLUX: {
        "timestep_sampling": "sigma",
        "weighting_scheme": "uniform",
        "discrete_flow_shift": 3.0,
        "model_prediction_type": "sigma_scaled",
        "guidance_scale": 3.5,
    },
    _LUMINA: {"timestep_sampling": "shift", "discrete_flow_shift": 6.0},
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
    module = s.text("network_module")
    unsaid = {key: value for key, value in _UNSAID.get(module, {}).items() if not s.has(key)}
    s.values = {**s.values, **unsaid}
    if module == _SD3:
        _of_pictures(s)
    else:
        _weighting(s)
    _sampling(s)
    if s.has("guidance_scale"):
        s.put("noise.guidance", s.number("guidance_scale", 1.0), "guidance_scale")
    kind = s.text("model_prediction_type", "raw")
    if kind != "raw":
        s.refuse(
            "model_prediction_type", f"{kind!r} is not supported, the direction itself is compared ('raw')"
        )
    if module in MODULES:
        s.put("lora.layers", "all", "network_module")


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
    s.put("noise.timestep_density", "uniform" if sampling == "uniform" else "logit_normal", key)
    if sampling != "uniform":
        s.put("noise.logit_mean", 0.0, key)
        s.put("noise.logit_std", scale, "sigmoid_scale" if s.has("sigmoid_scale") else key)


@dataclass(frozen=True, slots=True)
class Own:
    """How a family's own training spreads noise levels."""

    density: str
    shift: float | str
    guided: bool
    """Whether it reads a guidance."""


@dataclass(frozen=True, slots=True)
class Trainer:
    """Their trainer of a flow-matching family, to which a plan is exported."""

    network: str
    more: Mapping[str, object] = field(default_factory=dict)
    """What tells it this family."""

    def noise(self, noise: NoisePlan, own: Own) -> tuple[dict[str, object], list[str]]:
        """How noise levels are spread and weighed in their words, and what they have no words for.

        Args:
            noise: of a plan.
            own: what the family takes where the plan says nothing.
        """
        density, shift = noise.timestep_density or own.density, noise.timestep_shift
        told = replace(own, density=density, shift=own.shift if shift is None else shift)
        found, unsaid = (_of_sd3 if self.network == _SD3 else _of_flux)(noise, told)
        if own.guided:
            found["guidance_scale"] = noise.guidance
        return {**found, **self.more}, unsaid


_TRAINERS = {
    "sd3": Trainer(_SD3),
    "flux": Trainer(_FLUX),
    "chroma": Trainer(_FLUX, {"model_type": "chroma", "guidance_scale": 0.0, "apply_t5_attn_mask": True}),
}
"""By family."""


def trainer_of(facts: Mapping[str, str], name: str) -> tuple[Trainer, Own] | None:
    """That of the family which a LoRA file's metadata name, and how it is trained; None: it matches no flow.

    Raises:
        StudyError: they train no such family; ``name`` says of which file.
    """
    family = version.family(facts)
    if family is None or not family.flows:
        return None
    if family.name not in _TRAINERS:
        raise StudyError(
            f"{name}: sd-scripts has no trainer for {family.title}; leave out --sd-scripts, and the file itself is "
            "written, whose metadata holds the recipe."
        )
    return _TRAINERS[family.name], _own(family)


def _own(family: Family) -> Own:
    _, found = family.functions.process(family.configs, "flow", False)
    own: Flow = found  # type: ignore[assignment]
    shift: float | str = "resolution" if own.shift.by_resolution else own.shift.factor
    return Own(own.density, shift if own.shifts_training else 1.0, family.rendering.embedded)


def _of_sd3(noise: NoisePlan, told: Own) -> tuple[dict[str, object], list[str]]:
    """Pictures are compared; ``sigma_sqrt``, where all levels are as often, makes of that directions."""
    unsaid, scheme = [], told.density
    if noise.loss_weighting == "none" and told.density == "uniform":
        scheme = "sigma_sqrt"
    elif noise.loss_weighting != "sigma_squared":
        unsaid.append(f"noise.loss_weighting = {noise.loss_weighting!r}; it weighs them by sigma^2")
    found: dict[str, object] = {"weighting_scheme": scheme, "training_shift": told.shift}
    if told.shift == "resolution":
        unsaid.append(_BY_RESOLUTION)
        found["training_shift"] = 1.0
    if noise.logit_mean:
        found["logit_mean"] = -noise.logit_mean
    return found, unsaid


def _of_flux(noise: NoisePlan, told: Own) -> tuple[dict[str, object], list[str]]:
    unsaid = []
    if noise.loss_weighting != "none":
        unsaid.append(
            f"noise.loss_weighting = {noise.loss_weighting!r}; it weighs none of them where directions are compared"
        )
    found: dict[str, object] = {"model_prediction_type": "raw"}
    if told.density == "logit_normal" and not noise.logit_mean:
        kinds: Mapping[object, str] = {1.0: "sigmoid", "resolution": "flux_shift"}
        found["timestep_sampling"] = kinds.get(told.shift, "shift")
        if noise.logit_std != 1:
            found["sigmoid_scale"] = noise.logit_std
        if found["timestep_sampling"] == "shift":
            found["discrete_flow_shift"] = told.shift
        return found, unsaid
    found |= {
        "timestep_sampling": "sigma",
        "weighting_scheme": told.density,
        "discrete_flow_shift": told.shift,
    }
    if told.shift == "resolution":
        unsaid.append(_BY_RESOLUTION)
        found["discrete_flow_shift"] = 1.0
    return found, unsaid
