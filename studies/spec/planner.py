"""From a proposal to a training plan (pure)."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from search.space import Choice, Parameter
from search.trial import Value
from studies.errors import StudyError
from studies.spec.plan_fields import build, extremes
from studies.spec.study_file import StudySpec
from trainer.data.dataset import Dataset
from trainer.data.order import images_per_epoch
from trainer.plan import TrainingPlan
from trainer.plans.fields import OFF
from trainer.plans.optimiser import OptimiserPlan

_WEIGHTY = ("lora.rank", "lora.conv_rank", "lora.dora", "lora.unet", "lora.text_encoder", "data.batch_size")
"""Fields that decide how much memory a trial needs: the more, the more."""


@dataclass(frozen=True, slots=True)
class Planner:
    """Turns proposals into plans for one study and its data.

    Epochs that neither the plan nor the space names follow from the image budget, so that repeats and batch
    size change a trial's rhythm and not its length.
    """

    spec: StudySpec
    dataset: Dataset
    seed: int

    def plan(self, values: Mapping[str, Value]) -> TrainingPlan:
        """The plan that a proposal stands for."""
        template: dict[str, Any] = {**self.spec.plan, "seed": self.seed}
        plan = build(template, values)
        if "epochs" in self.spec.plan["data"] or "data.epochs" in self.spec.search.space:
            return plan
        epochs = max(1, self.spec.budget.images_per_trial // self._epoch_images(plan.data.repeats))
        return build(template, {**values, "data.epochs": epochs})

    def heaviest(self) -> TrainingPlan:
        """The plan of the space that needs most memory: largest rank and batch, everything switched on."""
        weighty: dict[str, Value] = {}
        for name, parameter in self.spec.space.parameters.items():
            if name in _WEIGHTY:
                weighty[name] = max(extremes(parameter), key=lambda size: 0 if size == OFF else size)
        return self.plan(weighty)

    def optimisers(self) -> list[OptimiserPlan]:
        """Every optimiser that the study tries, where it tries several."""
        parameter = self.spec.space.parameters.get("optimiser.name")
        if parameter is None:
            return []
        plan = self.plan({}).optimiser
        return [plan.model_copy(update={"name": name}) for name in extremes(parameter)]

    def problems(self) -> list[str]:
        """What the study asks that its data or its image budget cannot give."""
        limit, problems = self.spec.budget.images_per_trial, []
        epochs, repeats = self._largest("epochs"), self._largest("repeats")
        one = self._epoch_images(repeats)
        if epochs is not None and epochs * one > limit:
            problems.append(
                f"budget.images_per_trial = {limit} is less than {epochs} epochs of {one} images "
                f"({epochs * one}); lower data.epochs or data.repeats, raise the budget, or leave data.epochs "
                "out so that it follows from the budget."
            )
        elif one > limit:
            problems.append(
                f"budget.images_per_trial = {limit} is less than one epoch of {one} images "
                f"({len(self.dataset.deck.cards)} training images x repeats {repeats or self.dataset.deck.repeats}); "
                "raise it or lower data.repeats."
            )
        return problems

    def check(self) -> None:
        """Raises ``StudyError`` if there are problems."""
        if problems := self.problems():
            raise StudyError(problems)

    def usual_epoch(self) -> int:
        """Images that a run of a trial sees in an epoch; the mean where repeats are searched."""
        found = [self._epoch_images(repeats) for repeats in self._values("repeats")]
        return round(statistics.fmean(found or [self._epoch_images(None)]))

    def _epoch_images(self, repeats: int | None) -> int:
        return images_per_epoch(self.dataset.deck, repeats)

    def _largest(self, field: str) -> int | None:
        """The largest value that a trial may have for ``data.<field>``; None if only the data decide."""
        return max(self._values(field), default=None)

    def _values(self, field: str) -> list[int]:
        """What a trial may have for ``data.<field>``, of a range its ends; none if only the data decide."""
        parameters: Mapping[str, Parameter] = self.spec.space.parameters
        parameter = parameters.get(f"data.{field}")
        if parameter is not None:
            values = parameter.choices if isinstance(parameter, Choice) else extremes(parameter)
            return [int(value) for value in values]
        fixed = self.spec.plan["data"].get(field)
        return [] if fixed is None else [int(fixed)]
