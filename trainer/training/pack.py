"""The loop: many trials, one forward and backward pass, slots refilled as trials leave."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import torch
from torch import Tensor

from trainer.adapters.wrapping import bank_for
from trainer.bases.base_model import BaseModel
from trainer.data.encoded import Encoded
from trainer.lora_files import merging
from trainer.outcome import Diverged, EpochEnd, Event, OutOfMemory, is_out_of_memory
from trainer.plan import TrainingPlan
from trainer.plans.compute import ComputePlan
from trainer.training import batch as rows
from trainer.training import losses, noise
from trainer.training.batch import coefficients, gather, means, time_ids
from trainer.training.checkpoints import load_state
from trainer.training.run import TrainingRun, shape_of


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
        self.last_loss = 0.0
        """Mean squared error over the latest step, unweighted."""
        if compute.gradient_checkpointing:
            base.unet.enable_gradient_checkpointing()

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
            run = TrainingRun(
                trial, plan, slot, self.bank, self.data.dataset, lambda: self._begin(slot, plan)
            )
        except BaseException:
            self.bank.discard(slot)
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
        """Frees a trial's slot."""
        self.bank.close(self.runs.pop(trial).slot)
        if not any(run.plan.reads_text for run in self.runs.values()):
            self.base.keep_text(False)

    def _begin(self, slot: int, plan: TrainingPlan) -> None:
        if plan.lora.start is not None:
            merging.start(self.bank, slot, plan.lora.start, self.base.kohya_names)

    def step(self) -> list[Event]:
        """One forward and backward pass over the next batch of every run whose images share a size.

        Runs that reach an epoch end stay admitted; runs that diverge are evicted. When memory runs out, the
        newest run is evicted and the pack stays one smaller.
        """
        runs = self._participants()
        errors = self._attempt(runs)
        if errors is None:
            return [self._shrink()]
        self.last_images = sum(run.next_batch.training for run in runs)
        self.last_loss = sum(errors) / len(errors)
        events = [self._advance(*facts) for facts in zip(runs, errors, self._norms(runs), strict=True)]
        return [event for event in events if event is not None]

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

    def _attempt(self, runs: list[TrainingRun]) -> list[float] | None:
        """The mean squared error of each run, or None when memory ran out and there is a run to spare."""
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

    def _norms(self, runs: list[TrainingRun]) -> list[float]:
        """The gradient norm of each run whose optimiser steps now, 0 for the others."""
        closing = [run for run in runs if run.closes_window]
        for run in closing:
            if run.scaler.is_enabled():
                run.scaler.unscale_(run.optimiser)
        if not closing:
            return [0.0] * len(runs)
        found = iter(torch.stack([self.bank.gradients(run.slot).norm() for run in closing]).tolist())
        return [next(found) if run.closes_window else 0.0 for run in runs]

    def _forward_backward(self, runs: list[TrainingRun]) -> list[float]:
        batch = gather(runs, self.data, self.bank.dtype)
        for run in runs:
            if run.opens_window:
                self.bank.gradients(run.slot).zero_()
        text = rows.text(batch, self.data, self.bank)
        prediction = self.base.prediction_type
        with self.bank.rows(batch.slots, batch.presentations):
            said = self.base.predict(batch.inputs, batch.timesteps, text, time_ids(batch, self.data))
            wanted = noise.target(batch.latents, batch.noise, batch.alphas, prediction)
            squared = losses.squared_error(said, wanted)
            minimised = losses.minimised(squared, said, wanted, batch.noise_plans)
            torch.autograd.backward((minimised * coefficients(batch, prediction).to(squared)).sum())
        return means(squared.detach(), batch)

    def _advance(self, run: TrainingRun, squared_error: float, norm: float) -> Event | None:
        steps = run.scaler.is_enabled() or math.isfinite(norm)
        ended = run.step(squared_error, norm) if steps else False
        trouble = run.trouble(squared_error, norm)
        if trouble is not None:
            self.evict(run.trial)
            return Diverged(run.trial, run.progress.images_seen, trouble)
        if not ended:
            return None
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

    def _shrink(self) -> OutOfMemory:
        newest = next(reversed(self.runs))
        self.evict(newest)
        self.limit = len(self.runs)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        return OutOfMemory(newest)
