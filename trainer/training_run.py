"""One trial's stay in a slot: its plan, leaf tensors, optimiser, schedule and position."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import torch

from trainer import block_rates, optimisers, schedules
from trainer.adapters import AdapterBank, Shape
from trainer.data.buckets import Size
from trainer.data.dataset import Dataset
from trainer.data.stream import Batch, epoch_batches, images_per_epoch, steps_per_epoch
from trainer.plan import TrainingPlan
from trainer.shape import Dropout

HOPELESS_LOSS = 1.5
"""Mean squared error at which a trial has diverged, as a multiple of what "no noise" everywhere scores."""
_LOSS_MEMORY = 24
"""Images over which the running loss is averaged before it is judged."""


@dataclass(slots=True)
class Progress:
    """Where a trial stands."""

    epoch: int = 0
    """Epochs completed."""
    images_seen: int = 0
    steps: int = 0
    loss_sum: float = 0.0
    """Sum of squared errors over the images of the current epoch."""
    last_epoch_loss: float = 0.0
    """Mean squared error over the last completed epoch."""
    running_loss: float | None = None


class TrainingRun:
    """What one slot needs to take its next step.

    Args:
        trial: number of the trial.
        plan: what it trains.
        slot: an unused slot of ``bank``; opened here.
        bank: where the leaf tensors live.
        dataset: whose training side is presented.
        begin: puts the first weights into the opened slot, where they are not those of a new LoRA.
    """

    def __init__(
        self,
        trial: int,
        plan: TrainingPlan,
        slot: int,
        bank: AdapterBank,
        dataset: Dataset,
        begin: Callable[[], None] = lambda: None,
    ) -> None:
        self.trial, self.plan, self.slot = trial, plan, slot
        self._bank = bank
        self._deck, self._sizes = dataset.deck, dataset.sizes
        bank.open(slot, shape_of(plan), plan.seed)
        begin()
        rates = {
            "unet": plan.optimiser.unet_lr,
            "text_encoder": plan.optimiser.unet_lr * plan.optimiser.text_lr_over_unet_lr,
        }
        groups = [{"params": bank.parameters(slot, part), "lr": rate} for part, rate in rates.items()]
        groups = block_rates.split(groups, bank.leaves(slot), bank.shape(slot))
        self.optimiser = optimisers.build(plan.optimiser, groups)
        self.schedule = schedules.build(plan.schedule, self.optimiser, self.total_steps)
        precision = plan.compute.mixed_precision
        self.scaler = torch.amp.GradScaler(bank.device.type, enabled=precision == "fp16")
        self.progress = Progress()
        self._batches: deque[Batch] = deque()
        self._deal()

    @property
    def total_steps(self) -> int:
        """Optimiser steps of the whole trial."""
        data = self.plan.data
        return data.epochs * steps_per_epoch(self._deck, self._sizes, data.repeats, data.batch_size)

    @property
    def trains_text(self) -> bool:
        """Whether text must be encoded with this slot's own text encoder."""
        return self.plan.lora.text_encoder

    @property
    def next_batch(self) -> Batch:
        """The batch of the next step."""
        return self._batches[0]

    @property
    def next_size(self) -> Size:
        """The image size of the next step."""
        return self.next_batch.size

    @property
    def finished(self) -> bool:
        """Whether the horizon is reached."""
        return self.progress.epoch >= self.plan.data.epochs

    def step(self, squared_error: float, gradient_norm: float) -> bool:
        """Updates the leaf tensors from their gradients and moves on; True at the end of an epoch.

        Args:
            squared_error: mean over the batch, unweighted.
            gradient_norm: 2-norm over all leaf tensors.
        """
        limit = self.plan.optimiser.max_grad_norm
        if limit and gradient_norm > limit:
            self._bank.gradients(self.slot).mul_(limit / (gradient_norm + 1e-6))
        if self.scaler.is_enabled():
            self.scaler.step(self.optimiser)
            self.scaler.update()
        else:
            self.optimiser.step()
        self.schedule.step()
        self._note(squared_error, len(self._batches.popleft().examples))
        return not self._batches

    def next_epoch(self) -> None:
        """Closes the epoch and deals the next one."""
        count = images_per_epoch(self._deck, self.plan.data.repeats)
        self.progress.last_epoch_loss = self.progress.loss_sum / count
        self.progress.epoch += 1
        self.progress.loss_sum = 0.0
        self._deal()

    def resume(self, progress: Progress) -> None:
        """Continues from an epoch end."""
        self.progress = progress
        self._deal()

    def trouble(self, squared_error: float, gradient_norm: float) -> str | None:
        """Why the trial has diverged, or None."""
        if not math.isfinite(squared_error):
            return f"the loss became {squared_error} after {self.progress.images_seen} images"
        if not math.isfinite(gradient_norm) and not self.scaler.is_enabled():
            return f"the gradient became {gradient_norm} after {self.progress.images_seen} images"
        loss, silence = self.progress.running_loss, 1 + self.plan.noise.offset**2
        hopeless = loss is not None and loss > HOPELESS_LOSS * silence
        if hopeless and self.progress.images_seen >= _LOSS_MEMORY:
            return (
                f"the loss rose to {loss:.2f} after {self.progress.images_seen} images "
                f"(predicting no noise at all scores {silence:.3g})"
            )
        return None

    def _note(self, squared_error: float, images: int) -> None:
        progress = self.progress
        progress.steps += 1
        progress.images_seen += images
        progress.loss_sum += squared_error * images
        if progress.running_loss is None:
            progress.running_loss = squared_error
        share = min(1.0, images / _LOSS_MEMORY)
        progress.running_loss += share * (squared_error - progress.running_loss)

    def _deal(self) -> None:
        if self.finished:
            return
        data = self.plan.data
        self._batches = deque(
            epoch_batches(
                self._deck, self._sizes, self.progress.epoch, data.repeats, data.batch_size, self.plan.seed
            )
        )


def shape_of(plan: TrainingPlan) -> Shape:
    """The slot that a plan needs."""
    parts = [
        part
        for part, wanted in (("unet", plan.lora.unet), ("text_encoder", plan.lora.text_encoder))
        if wanted
    ]
    lora = plan.lora
    return Shape(
        rank=lora.rank,
        scale=lora.alpha_over_rank,
        prefixes=tuple(parts),
        conv_rank=lora.conv_rank or 0,
        conv_scale=lora.conv_alpha_over_rank if lora.conv_rank else 1.0,
        block_ranks=tuple(lora.block_ranks.items()),
        block_rates=tuple(lora.block_lrs.items()),
        frozen=lora.freeze,
        dropout=Dropout(lora.dropout, lora.rank_dropout, lora.module_dropout),
        algorithm=lora.algorithm,
        arguments=tuple(lora.algorithm_args.get(lora.algorithm, {}).items()),
    )
