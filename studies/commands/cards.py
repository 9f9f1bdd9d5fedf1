"""What of a study fits on cards of several sizes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from studies.engines.judge_builder import eyes_of
from studies.spec.planner import Planner
from studies.spec.sections import JudgeSection
from trainer.bases.find import Source, find, side_step
from trainer.footprint.fitting import Fit, Setting, fit
from trainer.footprint.forecast import GIB, room_of
from trainer.footprint.needs import Forecaster, setting_of
from trainer.plan import TrainingPlan
from trainer.plans.compute import BaseFormat
from trainer.plans.optimiser import OptimiserPlan

SIZES = (8.0, 12.0, 16.0, 24.0)
"""GiB of the cards that people own."""
SMALLER = (0.75, 0.5)
"""Shares of a study's resolution that are tried where it does not fit."""


@dataclass(frozen=True, slots=True)
class Card:
    """A card, and what fits on it."""

    gib: float
    fit: Fit | None
    """None: not even one trial, whatever is given up."""

    def to_json(self) -> dict[str, Any]:
        """JSON values."""
        if self.fit is None:
            return {"gib": self.gib, "trials": 0}
        setting = self.fit.setting
        return {
            "gib": self.gib,
            "trials": self.fit.trials,
            "resolution": setting.resolution,
            "base_format": setting.base_format,
            "gradient_checkpointing": setting.checkpointing,
            "offload": self.fit.offload,
            "stage": self.fit.stage,
            "peak_bytes": self.fit.peak,
        }


def at_hand() -> float | None:
    """GiB of this machine's card; None where there is none."""
    import torch

    return torch.cuda.mem_get_info()[1] / GIB if torch.cuda.is_available() else None


def of_study(planner: Planner, gib: Sequence[float]) -> tuple[Card, ...]:
    """What fits of a study's heaviest trials on cards of so many GiB.

    Raises:
        BaseModelError: there is no base model.
    """
    plan, spec = planner.heaviest(), planner.spec
    return cards(plan, planner.optimisers(), spec.judge, spec.pack.limit, gib, find(plan.base))


def cards(
    plan: TrainingPlan,
    others: Sequence[OptimiserPlan],
    judge: JudgeSection,
    most: int,
    gib: Sequence[float],
    source: Source,
) -> tuple[Card, ...]:
    """What fits on cards of so many GiB.

    Args:
        plan: the study's heaviest.
        others: optimisers that other trials use.
        judge: how checkpoints are judged.
        most: the largest pack that is wanted.
        gib: of the cards.
        source: the base model.
    """
    of = cache(Forecaster(plan, others, eyes_of(judge), source).needs)
    tried = tuple(_compromises(setting_of(plan), plan, side_step(source)))
    rooms = [room_of(int(size * GIB)) for size in gib]
    return tuple(
        Card(size, fit(of, tried, plan.data.batch_size, room, most))
        for size, room in zip(gib, rooms, strict=True)
    )


def _compromises(own: Setting, plan: TrainingPlan, step: int) -> Iterator[Setting]:
    """The plan's own setting, a smaller base, then smaller pictures, then both."""
    quantises = own.base_format == "auto" and plan.lora.algorithm == "lora" and not plan.lora.dora
    formats: tuple[BaseFormat, ...] = (own.base_format, "nf4") if quantises else (own.base_format,)
    sides = dict.fromkeys(
        (own.resolution, *(int(share * own.resolution) // step * step or step for share in SMALLER))
    )
    for side in sides:
        for form in formats:
            yield replace(own, resolution=side, base_format=form)
