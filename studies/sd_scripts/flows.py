"""What sd-scripts' trainers of flow-matching bases ask for (``sd3_``, ``flux_`` and ``lumina_train_network``)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

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
_SD3, _FLUX = "networks.lora_sd3", "networks.lora_flux"
_SAMPLINGS = ("sigma", "uniform", "sigmoid", "shift", "flux_shift", "nextdit_shift")
_SCHEMES = ("none", "uniform", "logit_normal", "mode", "sigma_sqrt", "cosmap")
_PARTS = ("ae", "clip_l", "clip_g", "t5xxl", "gemma2")
_UNSAID = {_SD3: 1.0, _FLUX: 3.0}
"""Shift of timesteps, all as often, where a configuration of these networks says nothing."""
_SAID = ("noise.timestep_density", "noise.timestep_shift", "noise.loss_weighting")
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
    if (unsaid := _UNSAID.get(s.text("network_module"))) is not None:
        s.plan.setdefault("noise.timestep_density", "uniform")
        s.plan.setdefault("noise.timestep_shift", unsaid)
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


@dataclass(frozen=True, slots=True)
class Trainer:
    """Their trainer of a flow-matching family, to which a plan is exported."""

    network: str
    more: Mapping[str, object] = field(default_factory=dict)
    """What tells it this family."""

    def noise(self, noise: NoisePlan, own_shift: float) -> tuple[dict[str, object], set[str]]:
        """How noise levels are spread and weighed in their words, and the plan fields which that says.

        Args:
            noise: of a plan.
            own_shift: what the family moves timesteps by where the plan does not say it.
        """
        found, said = (_of_sd3 if self.network == _SD3 else _of_flux)(noise, own_shift)
        return {**self.more, **found}, said


_TRAINERS = {
    "sd3": Trainer(_SD3),
    "flux": Trainer(_FLUX),
    "chroma": Trainer(_FLUX, {"model_type": "chroma"}),
}
"""By family."""


def trainer_of(facts: Mapping[str, str], name: str) -> tuple[Trainer, float] | None:
    """That of the family which a LoRA file's metadata name, and its own shift; None: it matches no flow.

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
    return _TRAINERS[family.name], _own_shift(family)


def _own_shift(family: Family) -> float:
    """By how much the family's own training moves timesteps."""
    _, found = family.functions.process(family.configs, "flow", False)
    own: Flow = found  # type: ignore[assignment]
    return own.shift.factor if own.shifts_training and not own.shift.by_resolution else 1.0


def _of_sd3(noise: NoisePlan, own_shift: float) -> tuple[dict[str, object], set[str]]:
    said, shift = set(_SAID), noise.timestep_shift
    if shift == "resolution":
        said.remove("noise.timestep_shift")
    if not isinstance(shift, float):
        shift = own_shift
    return {"weighting_scheme": _scheme(noise), "training_shift": shift}, said


def _of_flux(noise: NoisePlan, own_shift: float) -> tuple[dict[str, object], set[str]]:
    said, shift = set(_SAID), noise.timestep_shift
    found: dict[str, object] = {}
    if noise.guidance != 1:
        found["guidance_scale"] = noise.guidance
        said.add("noise.guidance")
    if noise.timestep_density == "logit_normal" and noise.loss_weighting == "none" and not noise.logit_mean:
        kinds = {None: "sigmoid", 1.0: "sigmoid", "resolution": "flux_shift"}
        found["timestep_sampling"] = kinds.get(shift, "shift")
        if noise.logit_std != 1:
            found["sigmoid_scale"] = noise.logit_std
        if found["timestep_sampling"] == "shift":
            found["discrete_flow_shift"] = shift
        return found, said
    if shift == "resolution":
        said.remove("noise.timestep_shift")
    found |= {"timestep_sampling": "sigma", "weighting_scheme": _scheme(noise)}
    found["discrete_flow_shift"] = shift if isinstance(shift, float) else own_shift
    return found, said


def _scheme(noise: NoisePlan) -> str | None:
    return noise.timestep_density if noise.loss_weighting == "none" else noise.loss_weighting
