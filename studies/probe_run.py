"""Trains the learning-rate probe of a study."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from studies.planning import Planner
from studies.problems import StudyError
from studies.trouble import memory_told
from trainer import merging, probe
from trainer.data.caches import TensorCache
from trainer.data.dataset import Encoded
from trainer.pack import Pack
from trainer.plan import TrainingPlan
from trainer.probe import Probe

OUT_OF_MEMORY = (
    "Memory ran out: lower the rank, batch size or resolution of the probed plan, or set "
    "compute.gradient_checkpointing = true."
)


def probed_plan(planner: Planner) -> TrainingPlan:
    """What is probed: the first recipe that the study tries, and the plan's defaults where it says nothing.

    Raises:
        StudyError: that is no plan.
    """
    first = planner.spec.first[0] if planner.spec.first else {}
    try:
        return planner.plan(first)
    except ValidationError as error:
        told = "; ".join(str(found.get("ctx", {}).get("error", found["msg"])) for found in error.errors())
        raise StudyError(f"first.0: this recipe cannot be trained: {told}.") from error


def run_probe(planner: Planner, steps: int, on_step: Callable[[int, int, float], None]) -> Probe:
    """Loads the base model and follows the probe; what is written goes into a temporary folder.

    Args:
        planner: of the study.
        steps: most optimiser steps.
        on_step: is told the repetition, its steps and its rate.

    Raises:
        StudyError: memory ran out.
    """
    plan, repetitions = probed_plan(planner), planner.spec.probe.repetitions
    base = merging.loaded(plan)
    with tempfile.TemporaryDirectory() as folder:
        data = Encoded(planner.dataset, base, TensorCache(Path(folder)))
        with memory_told(OUT_OF_MEMORY):
            return probe.follow(
                Pack(base, data, repetitions, plan.compute), plan, repetitions, steps, on_step
            )


def plain(found: Probe) -> dict[str, Any]:
    """JSON values: the rate, whether it is flat, and how each repetition went."""
    return {
        "rate": _known(found.rate),
        "plateau": _known(found.plateau),
        "flat": found.flat,
        "courses": [
            {
                "rate": _known(course.plateau.rate),
                "step": course.plateau.step,
                "flat": course.plateau.flat,
                "trouble": course.trouble,
                "rates": list(course.rates),
            }
            for course in found.courses
        ],
    }


def _known(rate: float) -> float | None:
    return rate if math.isfinite(rate) else None


def rule() -> str:
    """When a rate counts as flat, and what follows from it, in words."""
    return (
        f"a rate is flat once it has grown by at most {probe.GROWTH:.0%} over {probe.PATIENCE} optimiser steps "
        f"and is at least {probe.DEPARTURE:g} times its first value; the learning rate is the geometric mean of the "
        f"plateaus divided by {probe.MARGIN:g}, since against grids the plateau lay 2 to 3 times above the best rate"
    )


def advice(result: dict[str, Any], steps: int) -> str:
    """What to do where no plateau was found."""
    if any(course["trouble"] for course in result["courses"]):
        return (
            "A repetition ended early; look at the images, or lower optimiser.max_grad_norm, and probe again."
        )
    return (
        f"Not flat yet after {steps} steps: the estimate still grows, so the last rate is a lower bound at best. "
        f"Probe longer with --steps {2 * steps} (in a study file: [probe] steps = {2 * steps})."
    )
