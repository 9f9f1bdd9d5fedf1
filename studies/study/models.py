"""What is wrong with the models that a study or a training names; none is loaded for this."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from evaluation import solvers
from search.space import Parameter
from studies.spec.paths import is_hub_name
from studies.spec.plan_fields import base_problems, size_problems
from studies.spec.sections import JudgeSection, SamplesSection
from studies.study.layers import layer_problems
from trainer.bases import base_model, find
from trainer.bases.base_model import BaseModelError
from trainer.bases.family import Family
from trainer.plan import TrainingPlan
from trainer.tensor_header import PICKLES, weights_problem


def base_model_problems(
    plan: TrainingPlan,
    template: Mapping[str, Any],
    parameters: Mapping[str, Parameter],
    samples: SamplesSection | None = None,
) -> list[str]:
    """What is wrong with the base model, and what cannot be asked of it or of the device.

    Args:
        plan: of which its base, data and compute sections are read.
        template: the fixed fields as they were written.
        parameters: what is searched.
        samples: pictures that are drawn in training, if any.
    """
    problems: list[str] = []
    try:
        base_model.check(plan.base)
        step = base_model.size_step(plan.base)
        problems += size_problems(plan.data, step)
        problems += _sample_problems(samples, step) if samples else []
        problems += _sampler_problems(samples, base_model.family(plan.base)) if samples else []
        problems += base_problems(template, parameters, base_model.family(plan.base))
        problems += layer_problems(template, parameters, lambda: find.find(plan.base))
        base_model.device_for(plan.compute.device)
    except BaseModelError as error:
        problems.append(str(error))
    return problems


def _sample_problems(samples: SamplesSection, step: int) -> list[str]:
    if not samples.prompts:
        return []
    sides = {"width": samples.width, "height": samples.height}
    return [
        f"samples.{name} must be a multiple of {step} for this base model, but got {side}."
        for name, side in sides.items()
        if side is not None and side % step
    ]


def _sampler_problems(samples: SamplesSection, family: Family) -> list[str]:
    problem = solvers.problem(samples.sampler, family) if samples.sampler else None
    return [f"samples.sampler: {problem}."] if problem else []


def encoder_problems(judge: JudgeSection) -> list[str]:
    """What is wrong with the judges that lie on this disk; those with a hub name are looked up when they are loaded."""
    problems = []
    for key, name in (("clip", judge.clip), ("image_encoder", judge.image_encoder)):
        if name is None:
            continue
        path = Path(name)
        if path.exists() or path.suffix in PICKLES:
            if problem := weights_problem(path):
                problems.append(f"judge.{key}: {name}: {problem}.")
        elif not is_hub_name(name):
            problems.append(
                f"judge.{key}: {name}: there is no such folder; give one in transformers layout, or a hub name such "
                "as organisation/model."
            )
    return problems
