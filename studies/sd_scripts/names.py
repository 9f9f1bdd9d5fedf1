"""Which plan field stands for which sd-scripts key, by the fields' own words; and the names of optimisers."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import BaseModel

from trainer.plan import TrainingPlan
from trainer.plans.fields import Meaning, leaves, meaning


def meanings(model: type[BaseModel]) -> dict[str, Meaning]:
    """What every field of a model says of itself, by dotted name."""
    return {name: meaning(info) for name, info in leaves(model)}


PLAN: Mapping[str, Meaning] = meanings(TrainingPlan)
"""Every field of the training plan."""

OPTIMISERS: Mapping[str, str] = {
    "adamw": "AdamW",
    "adamw8bit": "AdamW8bit",
    "paged_adamw8bit": "PagedAdamW8bit",
    "lion": "Lion",
    "lion8bit": "Lion8bit",
    "paged_lion8bit": "PagedLion8bit",
    "sgd_nesterov": "SGDNesterov",
    "sgd_nesterov8bit": "SGDNesterov8bit",
    "dadaptation": "DAdaptation",
    "dadapt_adam": "DAdaptAdam",
    "dadapt_adagrad": "DAdaptAdaGrad",
    "dadapt_adan": "DAdaptAdan",
    "dadapt_adan_ip": "DAdaptAdanIP",
    "dadapt_lion": "DAdaptLion",
    "dadapt_sgd": "DAdaptSGD",
    "adafactor": "AdaFactor",
    "prodigy": "Prodigy",
}
"""``optimizer_type`` of each optimiser; sd-scripts does not mind the case."""
OTHER_OPTIMISERS: Mapping[str, str] = {"dadaptadampreprint": "dadaptation"}
"""Second names, in lower case."""
