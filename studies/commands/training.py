"""A single training: checked, and recorded so that another plan is not taken for it."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from studies.commands.training_output import Output
from studies.errors import StudyError
from studies.spec.plan_file import PlanFile
from studies.study.models import base_model_problems
from studies.study.preflight import read_images
from studies.workspace import flat, write_json
from trainer.bases import base_model
from trainer.data import long_captions
from trainer.data.dataset import Dataset
from trainer.data.order import images_per_epoch
from trainer.lora_files import merging
from trainer.plan import TrainingPlan


@dataclass(frozen=True, slots=True)
class Training:
    """A plan that can be trained, or gone on with."""

    file: PlanFile
    plan: TrainingPlan
    dataset: Dataset
    output: Output
    samples_seed: int


def open_training(file: PlanFile, root: Path, hold_out: bool) -> Training:
    """Checks everything that can be checked before training and records what is trained.

    Args:
        file: what to train.
        root: folder for everything that is written; made where it is not there.
        hold_out: leave out the images that the study's split holds out, as a search's trials do; else no image
            is left out.

    Raises:
        StudyError: with all problems, or because ``root`` holds another training.
    """
    draft = file.plan(max(file.seed, 0))
    dataset = _dataset(file, draft, hold_out)
    values: dict[str, Any] = {}
    if file.images is not None:
        one = images_per_epoch(dataset.deck, draft.data.repeats)
        values["data.epochs"] = max(1, file.images // one)
    output = Output(root, file.name, file.plan(0, values).data.epochs)
    before = _recorded(output)
    seed, samples_seed = (
        _seed(asked, before.get(key))
        for key, asked in (("seed", file.seed), ("samples_seed", file.samples.seed))
    )
    plan = file.plan(seed, values)
    record = {
        "name": file.name,
        "seed": seed,
        "samples_seed": samples_seed,
        "data_set": dataset.fingerprint,
        "images": len(dataset.split.train),
        "base_model": merging.fingerprint(base_model.fingerprint(plan.base), plan.base.loras),
        "plan": plan.model_dump(mode="json"),
    }
    if output.state.exists() and (changes := _changes(before, record)):
        raise StudyError(
            f"{root} holds another training ({'; '.join(changes)}): restore that, or choose another --out."
        )
    write_json(output.record, record)
    return Training(file, plan, dataset, output, samples_seed)


def _dataset(file: PlanFile, plan: TrainingPlan, hold_out: bool) -> Dataset:
    """The images, read after base model and sizes were checked; all problems are told together."""
    problems = base_model_problems(plan, file.template, {}, file.samples)
    problems += merging.problems(plan.base.loras, plan.lora.start)
    split = file.split
    shares = (split.validation, split.test) if hold_out else (0.0, 0.0)
    folds = split.folds if hold_out and split.folds != "auto" else 0
    dataset = read_images(plan.data, shares, max(file.seed, 0), folds, problems)
    return long_captions.told(
        dataset, lambda: base_model.tokenizer(plan.base), base_model.family(plan.base).caption_tokens
    )


def _recorded(output: Output) -> dict[str, Any]:
    """What an earlier process recorded; empty if there was none."""
    if output.root.exists() and not output.root.is_dir():
        raise StudyError(f"{output.root}: this is a file; --out wants a folder.")
    if not output.record.exists():
        return {}
    try:
        record = json.loads(output.record.read_text(encoding="utf-8"))
        if not isinstance(record, dict):
            raise ValueError("it holds no table")
    except ValueError as error:
        raise StudyError(
            f"{output.record}: this is not valid JSON ({error}); choose another --out."
        ) from error
    return record


def _seed(asked: int, recorded: Any) -> int:
    if asked != -1:
        return asked
    return int(recorded) if recorded is not None else secrets.randbits(31)


def _changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What differs between two records, in words."""
    old, new = flat(before), flat(now)
    return [
        f"{name} was {old.get(name)}, is {new.get(name)}"
        for name in [*new, *(name for name in old if name not in new)]
        if old.get(name) != new.get(name)
    ]
