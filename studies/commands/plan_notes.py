"""What of a study file will not act as its author may think."""

from __future__ import annotations

from collections.abc import Iterator

from studies.report import foresight
from studies.report.provenance import share
from studies.report.readers import of_plan
from studies.spec.study_file import StudySpec
from studies.study.allowance import affordable
from studies.study.layers import layer_notes
from trainer.bases import find
from trainer.data.dataset import Dataset
from trainer.plans.optimiser_kinds import OPTIMISERS


def notes(spec: StudySpec, dataset: Dataset) -> list[str]:
    """What a study asks that will not act as its author may think."""
    lowered = share(spec.judge, affordable(spec, dataset).judge)
    layers = layer_notes(spec.plan, spec.space.parameters, lambda: find.find(spec.shared_plan.base))
    return [
        *([f"{lowered[0].upper() + lowered[1:]}."] if lowered else []),
        *filter(None, [foresight.uses(spec)]),
        *_idle(spec),
        *layers,
        *_unread(spec),
    ]


def _unread(spec: StudySpec) -> Iterator[str]:
    """Programs that cannot use the files of an algorithm that trials may have."""
    lora = spec.shared_plan.lora
    parameters = spec.space.parameters
    algorithms = getattr(parameters.get("lora.algorithm"), "choices", (lora.algorithm,))
    dora = True in getattr(parameters.get("lora.dora"), "choices", (lora.dora,))
    for algorithm in algorithms:
        yield from of_plan(lora.model_copy(update={"algorithm": algorithm, "dora": dora}))


def _idle(spec: StudySpec) -> list[str]:
    parameter = spec.space.parameters.get("optimiser.name")
    fixed = spec.plan.get("optimiser", {}).get("name", "adamw")
    names = getattr(parameter, "choices", (fixed,))
    adaptive = [str(name) for name in names if OPTIMISERS[str(name)].adaptive]
    if not adaptive or "optimiser.unet_lr" not in spec.search.space:
        return []
    who = " and ".join(adaptive)
    verb = "finds its" if len(adaptive) == 1 else "find their"
    return [f"{who} {verb} own learning rate: optimiser.unet_lr has no effect on such trials."]
