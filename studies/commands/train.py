"""Trains one plan with no search."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, assert_never

from evaluation.rendering import RenderSettings, render
from evaluation.subject import Subject
from studies.errors import StudyError, memory_told
from studies.images import save_png, strip
from studies.report.explanation import sentence
from studies.spec.plan_fields import base_problems, size_problems
from studies.spec.plan_file import PlanFile
from studies.spec.sections import SamplesSection, SaveSection
from studies.workspace import write_json
from trainer.bases import base_model
from trainer.bases.base_model import BaseModelError
from trainer.data import long_captions
from trainer.data.dataset import Dataset, read
from trainer.data.images import DataError
from trainer.data.order import images_per_epoch
from trainer.lora_files import merging
from trainer.outcome import Diverged, EpochEnd, OutOfMemory
from trainer.plan import TrainingPlan
from trainer.seeds import derive
from trainer.training import session
from trainer.training.checkpoints import save_state
from trainer.training.pack import Pack
from trainer.training.saving import save_lora


@dataclass(frozen=True, slots=True)
class Output:
    """Names below one folder."""

    root: Path
    name: str
    """Of the LoRA."""
    epochs: int
    """Of the whole training."""

    @property
    def record(self) -> Path:
        """What is trained, so that another plan is not taken for this one."""
        return self.root / "training.json"

    @property
    def state(self) -> Path:
        """Training state at the last epoch end."""
        return self.root / "state.safetensors"

    @property
    def cache(self) -> Path:
        """Latents."""
        return self.root / "cache"

    def lora(self, epoch: int) -> Path:
        """The LoRA file of an epoch; the last epoch's has the plain name, as kohya's has."""
        number = "" if epoch >= self.epochs else f"-{epoch:06d}"
        return self.root / f"{self.name}{number}.safetensors"

    def sample(self, epoch: int, place: int) -> Path:
        """The picture of a prompt at an epoch."""
        return self.root / "samples" / f"{self.name}-{epoch:06d}-{place:02d}.png"

    def writes(self, epoch: int, every: int) -> bool:
        """Whether something that comes every so many epochs comes at this one."""
        return epoch % every == 0 or epoch >= self.epochs

    def surplus(self, epoch: int, save: SaveSection) -> list[Path]:
        """LoRA files that are no longer kept once this epoch has ended."""
        if save.keep_last is None:
            return []
        written = range(save.every_n_epochs, min(epoch, self.epochs - 1) + 1, save.every_n_epochs)
        return [self.lora(one) for one in written[: -save.keep_last]]


_ROWS = 8
"""Most rows of a pass that renders: a picture needs two."""


OUT_OF_MEMORY = (
    "Memory ran out: lower lora.rank, data.batch_size or data.resolution, or set "
    "compute.gradient_checkpointing = true."
)


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
    dataset = long_captions.told(dataset, lambda: base_model.tokenizer(draft.base))
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


def train(
    training: Training,
    on_step: Callable[[int, int, float], None],
    on_epoch: Callable[[EpochEnd, Path | None], None],
) -> Path:
    """Trains to the end, from where an earlier process stopped, and gives the last epoch's file.

    Args:
        training: opened.
        on_step: is told the steps taken, all steps, and the step's mean squared error.
        on_epoch: is told every epoch end and its file, None where none is written.

    Raises:
        StudyError: training diverged, or memory ran out.
    """
    plan, output = training.plan, training.output
    last = output.lora(plan.data.epochs)
    pack = session.open(plan, training.dataset, output.cache, 1)
    run = pack.admit(0, plan, output.state if output.state.exists() else None)
    while not run.finished:
        with memory_told(OUT_OF_MEMORY):
            events = pack.step()
        on_step(run.progress.steps, run.total_steps, pack.last_loss)
        for event in events:
            match event:
                case EpochEnd():
                    on_epoch(event, _epoch_end(training, pack, event))
                case Diverged(trouble=trouble):
                    raise StudyError(
                        f"Training diverged: {sentence(trouble)}; lower optimiser.unet_lr and start again with another "
                        "--out."
                    )
                case OutOfMemory():
                    raise StudyError("Memory ran out.")
                case _:
                    assert_never(event)
    return last


def _epoch_end(training: Training, pack: Pack, end: EpochEnd) -> Path | None:
    """Writes the LoRA file, the pictures, then the state that claims them; removes files no longer kept."""
    output, save = training.output, training.file.save
    path = output.lora(end.epoch) if output.writes(end.epoch, save.every_n_epochs) else None
    if path is not None:
        save_lora(path, pack, end, save.precision)
    if output.writes(end.epoch, training.file.samples.every_n_epochs):
        _sample(training, pack, end)
    save_state(output.state, pack.runs[end.trial], pack.bank)
    for surplus in output.surplus(end.epoch, save):
        surplus.unlink(missing_ok=True)
    return path


def _sample(training: Training, pack: Pack, end: EpochEnd) -> None:
    samples, plan = training.file.samples, training.plan
    if not samples.prompts:
        return
    seeds = [derive(training.samples_seed, "sample", place) for place in range(len(samples.prompts))]
    subject = Subject(pack.runs[end.trial].slot, plan.base.clip_skip)
    with pack.shown([end.trial]):
        pictures = render(
            pack.data, pack.bank, [subject], samples.prompts, seeds, render_settings(samples, plan), _ROWS
        )[0]
    for place in range(len(pictures)):
        save_png(training.output.sample(end.epoch, place), strip(pictures[place : place + 1]))


def render_settings(samples: SamplesSection, plan: TrainingPlan) -> RenderSettings:
    """How the pictures of a training are sampled."""
    side = plan.data.resolution
    return RenderSettings(
        samples.steps,
        samples.guidance,
        samples.width or side,
        samples.height or side,
        samples.negative_prompt,
        samples.sampler,
    )


def _dataset(file: PlanFile, plan: TrainingPlan, hold_out: bool) -> Dataset:
    """The images, read after base model and sizes were checked; all problems are told together."""
    problems: list[str] = []
    try:
        step = base_model.size_step(plan.base)
        problems += size_problems(plan.data, step)
        if file.samples.prompts:
            problems += [
                f"samples.{name} must be a multiple of {step} for this base model, but got {side}."
                for name in ("width", "height")
                if (side := getattr(file.samples, name)) is not None and side % step
            ]
        problems += base_problems(file.template, {}, base_model.family(plan.base))
        base_model.device_for(plan.compute.device)
    except BaseModelError as error:
        problems.append(str(error))
    split = file.split
    shares = (split.validation, split.test) if hold_out else (0.0, 0.0)
    folds = split.folds if hold_out and split.folds != "auto" else 0
    try:
        dataset = read(plan.data, shares, max(file.seed, 0), folds).fold(plan.data.fold)
    except DataError as error:
        raise StudyError(problems + error.problems) from error
    if problems:
        raise StudyError(problems)
    return dataset


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
    old, new = _flat(before), _flat(now)
    return [
        f"{name} was {old.get(name)}, is {new.get(name)}"
        for name in [*new, *(name for name in old if name not in new)]
        if old.get(name) != new.get(name)
    ]


def _flat(record: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in record.items():
        if isinstance(value, Mapping) and value:
            found |= _flat(value, f"{prefix}{name}.")
        else:
            found[prefix + name] = value
    return found
