"""The loop: many trials, one forward and backward pass, slots refilled as trials leave."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import torch
from torch import Tensor

from trainer.adapters.wrapping import bank_for
from trainer.bases.base_model import BaseModel
from trainer.data.encoded import Encoded
from trainer.lora_files import beginning
from trainer.outcome import Diverged, EpochEnd, Event, OutOfMemory, is_out_of_memory
from trainer.plan import TrainingPlan
from trainer.plans.compute import ComputePlan
from trainer.training.checkpoints import load_state
from trainer.training.propagation import forward_backward
from trainer.training.run import TrainingRun, shape_of

READ_EVERY = 8
"""Steps after which losses are read from a GPU, which would wait for the host each time; epoch ends are, too."""


@dataclass(frozen=True, slots=True)
class _Step:
    """What a step has computed, on the device."""

    runs: list[TrainingRun | None]
    """None where one has left meanwhile."""
    images: list[int]
    """Training images of each run."""
    seen: list[int]
    """Training images that each run had seen after it."""
    errors: Tensor
    """Mean squared error of each run, unweighted: shape (runs,)."""
    norms: Tensor
    """Gradient norm of each run whose window closed, else 0: shape (runs,)."""


class Pack:
    """Trials that share a base model and train together.

    A trial's result depends on its plan alone: its order, noise and start are drawn by position, its rows
    meet its own low-rank terms, and its optimiser sees its own gradients.

    Args:
        base: the frozen model; its layers are wrapped.
        data: the images, encoded.
        capacity: most trials at a time.
        compute: precision and memory settings that all trials share.
    """

    def __init__(self, base: BaseModel, data: Encoded, capacity: int, compute: ComputePlan) -> None:
        self.base, self.data = base, data
        self.bank = bank_for(base, capacity)
        self.limit = capacity
        self.runs: dict[int, TrainingRun] = {}
        """By trial number, oldest first."""
        self.last_images = 0
        """Training images in the latest step."""
        self.last_loss: float | None = None
        """Mean squared error over the latest step that was read, unweighted; None before the first."""
        self._unread: list[_Step] = []
        self._read_every = READ_EVERY if self.bank.device.type == "cuda" else 1
        if compute.gradient_checkpointing:
            base.unet.enable_gradient_checkpointing()
        if compute.compile:
            self.bank.compile(base.unet)

    @property
    def has_room(self) -> bool:
        """Whether another trial can be admitted."""
        return len(self.runs) < self.limit

    def admit(self, trial: int, plan: TrainingPlan, state: Path | None = None) -> TrainingRun:
        """Gives a trial a slot, at its start or where ``state`` left it."""
        taken = {run.slot for run in self.runs.values()}
        slot = next(i for i in range(self.bank.capacity) if i not in taken)
        if plan.reads_text:
            self.base.keep_text(True)
        try:
            silence = self.base.process.silence
            run = TrainingRun(
                trial, plan, slot, self.bank, self.data.dataset, lambda: self._begin(slot, plan), silence
            )
        except BaseException:
            self.bank.discard(slot)
            self._release_text()
            raise
        self.runs[trial] = run
        if state is not None:
            try:
                load_state(state, run, self.bank)
            except BaseException:
                self.evict(trial)
                raise
        return run

    def reserve(self, plan: TrainingPlan, slots: int) -> None:
        """Takes the bank's memory at once for so many runs like ``plan``; nothing may be in training."""
        self.bank.reserve(shape_of(plan), slots)

    def evict(self, trial: int) -> None:
        """Frees a trial's slot, and forgets what was not read of it."""
        gone = self.runs.pop(trial)
        self.bank.close(gone.slot)
        for step in self._unread:
            step.runs[:] = [None if run is gone else run for run in step.runs]
        self._release_text()

    def _release_text(self) -> None:
        if not any(run.plan.reads_text for run in self.runs.values()):
            self.base.keep_text(False)

    def _begin(self, slot: int, plan: TrainingPlan) -> None:
        if plan.lora.start is not None:
            beginning.start(self.bank, slot, plan.lora.start, self.base.kohya_names)

    def step(self) -> list[Event]:
        """One forward and backward pass over the next batch of every run whose images share a size.

        Runs that reach an epoch end stay admitted; runs that diverge are evicted, on a GPU at most `READ_EVERY` steps
        later and never after an epoch end. When memory runs out, the newest run is evicted, or the one whose optimiser
        met the end of it, and the pack stays one smaller.
        """
        runs = self._participants()
        errors = self._attempt(runs)
        if errors is None:
            return self._read() or [self._shrink(next(reversed(self.runs)))]
        images = [run.next_batch.training for run in runs]
        seen = [run.progress.images_seen + count for run, count in zip(runs, images, strict=True)]
        self._unread.append(_Step([*runs], images, seen, errors, self._clip(runs)))
        self.last_images = sum(images)
        ended, gone = self._advance(runs)
        if not ended and not gone and len(self._unread) < self._read_every:
            return []
        ends = (self._epoch_end(run) for run in ended if self.runs.get(run.trial) is run)
        return [*self._read(), *gone, *ends]

    @contextmanager
    def prompt(self) -> Iterator[None]:
        """While it lasts losses are read at every step, and the device is waited for."""
        before, self._read_every = self._read_every, 1
        try:
            yield
        finally:
            self._read_every = before

    @contextmanager
    def shown(self, trials: Iterable[int]) -> Iterator[None]:
        """While it lasts, the slots of these trials hold the weights that are saved and judged."""
        with ExitStack() as stack:
            for trial in trials:
                stack.enter_context(self.runs[trial].shown())
            yield

    def _participants(self) -> list[TrainingRun]:
        """The runs whose next images have the commonest size, neighbours alike in batch size and rank."""
        sizes = Counter(run.next_size for run in self.runs.values())
        size = max(sizes, key=lambda size: (sizes[size], size))
        runs = [run for run in self.runs.values() if run.next_size == size]
        return sorted(runs, key=lambda run: (run.plan.data.batch_size, run.plan.lora.rank, run.slot))

    def _attempt(self, runs: list[TrainingRun]) -> Tensor | None:
        """Each run's mean squared error, shape (runs,), or None when memory ran out and there is a run to spare."""
        kept: dict[int, Tensor] = {}
        try:
            kept = {run.slot: self.bank.gradients(run.slot).clone() for run in runs if not run.opens_window}
            return self._forward_backward(runs)
        except (RuntimeError, MemoryError) as error:
            if len(self.runs) == 1 or not is_out_of_memory(error):
                raise
            for slot, gradients in kept.items():
                self.bank.gradients(slot).copy_(gradients)
            return None

    def _advance(self, runs: list[TrainingRun]) -> tuple[list[TrainingRun], list[Event]]:
        """Moves every run on: those whose epoch ended, and what is told of those that found no memory to move."""
        ended: list[TrainingRun] = []
        gone: list[Event] = []
        for run in runs:
            try:
                if run.advance():
                    ended.append(run)
            except (RuntimeError, MemoryError) as error:
                if (len(self.runs) == 1 and not gone) or not is_out_of_memory(error):
                    raise
                gone.append(self._shrink(run.trial))
        return ended, gone

    def _clip(self, runs: list[TrainingRun]) -> Tensor:
        """Each run's gradient norm, shape (runs,), 0 where its window stays open; gradients above its limit are scaled.

        As ``torch.nn.utils.clip_grad_norm_`` does it.
        """
        norms = torch.zeros(len(runs), dtype=self.bank.dtype, device=self.bank.device)
        for place, run in enumerate(runs):
            if not run.closes_window:
                continue
            run.stepper.unscale()
            gradient = self.bank.gradients(run.slot)
            norm = torch.linalg.vector_norm(gradient, out=norms[place])
            if limit := run.plan.optimiser.max_grad_norm:
                gradient.mul_((limit / (norm + 1e-6)).clamp(max=1))
        return norms

    def _forward_backward(self, runs: list[TrainingRun]) -> Tensor:
        return forward_backward(runs, self.data, self.bank)

    def _read(self) -> list[Event]:
        """Reads what the device has said since the last time; runs that diverged are evicted."""
        if not self._unread:
            return []
        told = iter(torch.cat([part for step in self._unread for part in (step.errors, step.norms)]).tolist())
        events: list[Event] = []
        for step in self._unread:
            errors, norms = (list(islice(told, len(step.runs))) for _ in range(2))
            self.last_loss = sum(errors) / len(errors)
            for run, *facts in zip(step.runs, step.images, step.seen, errors, norms, strict=True):
                if run is not None and (end := self._note(run, *facts)):
                    events.append(end)
        self._unread.clear()
        return events

    def _note(self, run: TrainingRun, images: int, seen: int, error: float, norm: float) -> Event | None:
        run.note(error, images)
        trouble = run.trouble(error, norm, seen)
        if trouble is None:
            return None
        self.evict(run.trial)
        return Diverged(run.trial, seen, trouble)

    def _epoch_end(self, run: TrainingRun) -> Event:
        run.next_epoch()
        progress = run.progress
        return EpochEnd(
            run.trial,
            progress.epoch,
            progress.images_seen,
            progress.steps,
            progress.last_epoch_loss,
            run.finished,
        )

    def _shrink(self, trial: int) -> OutOfMemory:
        self.evict(trial)
        self.limit = max(1, len(self.runs))
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        return OutOfMemory(trial)
