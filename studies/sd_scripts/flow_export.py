"""How a plan spreads noise levels, in the words of sd-scripts' trainers of flow-matching bases."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from studies.errors import StudyError
from studies.sd_scripts.flows import FLUX, SD3, own_process
from trainer.bases.family import Family
from trainer.lora_files import version
from trainer.plans.noise import NoisePlan

_BY_RESOLUTION = 'noise.timestep_shift = "resolution"; with this density it has one for all sizes'


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
        found, unsaid = (_of_sd3 if self.network == SD3 else _of_flux)(noise, told)
        if own.guided:
            found["guidance_scale"] = noise.guidance
        return {**found, **self.more}, unsaid


_TRAINERS = {
    "sd3": Trainer(SD3),
    "flux": Trainer(FLUX),
    "chroma": Trainer(FLUX, {"model_type": "chroma", "guidance_scale": 0.0, "apply_t5_attn_mask": True}),
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
    own = own_process(family)
    shift: float | str = "resolution" if own.shift.by_resolution else own.shift.factor
    return Own(own.density, shift if own.shifts_training else 1.0, family.rendering.embedded)


def _of_sd3(noise: NoisePlan, told: Own) -> tuple[dict[str, object], list[str]]:
    """Pictures are compared; ``sigma_sqrt``, where all levels are as often, makes of that directions."""
    unsaid, scheme = [], told.density
    found: dict[str, object] = {}
    if noise.loss_weighting == "none" and told.density == "uniform":
        scheme = "sigma_sqrt"
        found["min_timestep"] = max(1, noise.min_timestep)
    elif noise.loss_weighting != "sigma_squared":
        unsaid.append(f"noise.loss_weighting = {noise.loss_weighting!r}; it weighs them by sigma^2")
    found |= {"weighting_scheme": scheme, "training_shift": told.shift}
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
