"""What a study will do, need and cost, before anything starts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from studies.commands.cards import Card, of_study
from studies.commands.pack_speed import measured, pack_of
from studies.commands.plan_notes import notes
from studies.commands.rules_of_thumb import Amount, RuleOfThumb, Span, amounts, rules, span
from studies.spec.planner import Planner
from studies.spec.study_file import StudySpec
from studies.study.folds import folds_of
from trainer.bases import base_model
from trainer.data.dataset import Dataset
from trainer.footprint.resident import Footprint, footprint
from trainer.training.pack_size import Reading


@dataclass(frozen=True, slots=True)
class Forecast:
    """Everything that ``lorasearch plan`` tells of a study."""

    name: str
    training: int
    """Images."""
    validation: int
    test: int
    trials: tuple[Amount, ...]
    """Every rhythm that a trial may have."""
    trainings: int
    """How often each trial is trained: once without each fold, or once."""
    most_trials: int | None
    """None where only images or minutes limit the study."""
    image_budget: int | None
    memory: Footprint
    """Of the heaviest trial."""
    pack: int
    """Trials in memory at a time."""
    file_bytes: int
    """Of the largest checkpoint's LoRA file, but for its metadata."""
    rules: tuple[RuleOfThumb, ...]
    notes: tuple[str, ...]
    cards: tuple[Card, ...]
    """What fits on the card at hand, the one that was asked about, or those that people own."""
    readings: tuple[Reading, ...]
    """Measured speeds by pack size; empty where none was measured."""

    @property
    def study_images(self) -> Span | None:
        """Images that the whole study trains on, if nothing is pruned; None where only minutes limit it."""
        low, high = span(self.trials, lambda one: one.images * self.trainings)
        if self.most_trials is None:
            return None if self.image_budget is None else (self.image_budget, self.image_budget)
        found = self.most_trials * low, self.most_trials * high
        return found if self.image_budget is None else _capped(found, self.image_budget)

    @property
    def study_checkpoints(self) -> Span | None:
        """Checkpoints of the whole study, if nothing is pruned; None where trials are not limited."""
        if self.most_trials is None:
            return None
        low, high = span(self.trials, lambda one: one.epochs)
        return self.most_trials * low, self.most_trials * high

    @property
    def seconds(self) -> tuple[float, float] | None:
        """Training time of the study at the measured speed, without judging; None where unknown."""
        if not self.readings or self.study_images is None:
            return None
        rate = self.readings[-1].images_per_second
        return self.study_images[0] / rate, self.study_images[1] / rate

    def to_json(self) -> dict[str, Any]:
        """JSON values."""
        return {
            "study": self.name,
            "images": {"training": self.training, "validation": self.validation, "test": self.test},
            "trial": {
                "images_per_epoch": span(self.trials, lambda one: one.images_per_epoch),
                "repeats": span(self.trials, lambda one: one.repeats),
                "epochs": span(self.trials, lambda one: one.epochs),
                "checkpoints": span(self.trials, lambda one: one.epochs),
                "batch_size": span(self.trials, lambda one: one.batch_size),
                "steps_per_epoch": span(self.trials, lambda one: one.steps_per_epoch),
                "steps": span(self.trials, lambda one: one.steps),
                "images_seen": span(self.trials, lambda one: one.images),
            },
            "whole": {
                "trials": self.most_trials,
                "images_seen": self.study_images,
                "checkpoints": self.study_checkpoints,
                "file_bytes": self.file_bytes,
            },
            "memory": {
                **asdict(self.memory),
                "trial_bytes": self.memory.trial_bytes,
                "pack": self.pack,
                "total_bytes": self.memory.total(self.pack),
            },
            "cards": [card.to_json() for card in self.cards],
            "time": {"seconds": self.seconds, "readings": [asdict(reading) for reading in self.readings]},
            "rules": [asdict(rule) for rule in self.rules],
            "notes": list(self.notes),
        }


def forecast(spec: StudySpec, dataset: Dataset, measure: bool, gib: Sequence[float] = ()) -> Forecast:
    """Counts, and measures where asked to.

    Args:
        spec: of the study.
        dataset: of the study.
        measure: whether to train a few steps.
        gib: of the cards to fit the study on.

    Raises:
        StudyError: not even one trial fits into memory.
    """
    planner = Planner(spec, dataset, max(spec.study.seed, 0))
    readings = measured(planner) if measure else ()
    found = amounts(planner)
    memory = footprint(planner.heaviest(), planner.optimisers())
    images = dataset.different(dataset.split.train)
    longest = max(found, key=lambda one: one.steps)
    return Forecast(
        name=spec.study.name,
        training=images,
        validation=len(dataset.split.validation),
        test=len(dataset.split.test),
        trials=tuple(found),
        trainings=len(folds_of(dataset, planner.plan({}).data.fold)),
        most_trials=spec.budget.trials,
        image_budget=spec.budget.images,
        memory=memory,
        pack=pack_of(spec.pack, readings),
        file_bytes=memory.lora_parameters * base_model.DTYPES[spec.save.precision].itemsize,
        rules=tuple(rules(images, longest, max(one.batch_size for one in found))),
        notes=tuple(notes(spec, dataset)),
        cards=of_study(planner, gib) if gib else (),
        readings=readings,
    )


def _capped(found: Span, limit: int) -> Span:
    return min(found[0], limit), min(found[1], limit)
