"""One trial's stay in a slot: its plan, leaf tensors, optimiser, schedule and position."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from itertools import islice

from trainer.adapters.bank import AdapterBank, Shape
from trainer.adapters.shape import Dropout
from trainer.data.buckets import Size
from trainer.data.dataset import Dataset
from trainer.data.order import Batch, epoch_batches, images_per_epoch, steps_per_epoch
from trainer.plan import TrainingPlan
from trainer.training import optimisers, weight_norms
from trainer.training.ema import Average
from trainer.training.noise import largest_offset
from trainer.training.stepper import Stepper
from trainer.trouble import Trouble

HOPELESS_LOSS = 1.5
"""Mean squared error at which a trial has diverged, as a multiple of what "no noise" everywhere scores."""
_LOSS_MEMORY = 24
"""Images over which the running loss is averaged before it is judged."""
_TEXT = ("text_encoder", "text_encoder_2")


@dataclass(slots=True)
class Progress:
    """Where a trial stands."""

    epoch: int = 0
    """Epochs completed."""
    images_seen: int = 0
    """Training images presented; the regularisation images beside them do not count."""
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
        silence: mean squared error of a denoiser that says nothing (``Process.silence``).
    """

    def __init__(
        self,
        trial: int,
        plan: TrainingPlan,
        slot: int,
        bank: AdapterBank,
        dataset: Dataset,
        begin: Callable[[], None] = lambda: None,
        silence: float = 1.0,
    ) -> None:
        self.trial, self.plan, self.slot = trial, plan, slot
        self._bank, self._silence = bank, silence
        dataset = dataset.fold(plan.data.fold)
        self._deck, self._sizes = dataset.deck, dataset.sizes
        bank.open(slot, shape_of(plan), plan.seed)
        begin()
        groups = optimisers.split(groups_of(plan, bank, slot), bank.leaves(slot), bank.shape(slot))
        self.stepper = Stepper(plan, groups, self.total_steps, bank.device.type)
        self.average = Average(plan.ema.decay, bank.leaves(slot)) if plan.ema.decay is not None else None
        """The moving average that is saved and judged, where the plan asks for one."""
        share = plan.optimiser.text_stop_share
        self._text_steps = math.inf if share == 1 else max(1, round(share * self.total_steps))
        self.progress = Progress()
        self._batches: deque[Batch] = deque()
        self._window = 0
        self.opens_window = True
        """Whether the next batch is the first of its accumulation window, so that gradients start at zero."""
        self.window_images = 0
        """Images of the current accumulation window, over which the loss is averaged."""
        self._deal()

    @property
    def total_steps(self) -> int:
        """Optimiser steps of the whole trial."""
        data, accumulation = self.plan.data, self.plan.optimiser.gradient_accumulation
        return data.epochs * steps_per_epoch(
            self._deck, self._sizes, data.repeats, data.batch_size, accumulation
        )

    @property
    def trains_text(self) -> bool:
        """Whether text must be encoded with this slot's own text encoder."""
        return self.plan.lora.text_encoder

    @property
    def text_rests(self) -> bool:
        """Whether the text encoder has had its share of the steps and stays as it is."""
        return self.progress.steps >= self._text_steps

    @property
    def closes_window(self) -> bool:
        """Whether the optimiser steps after the next batch."""
        return self._window == 1

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

    def advance(self) -> bool:
        """Moves on, and updates the leaf tensors where a window closes; True at the end of an epoch."""
        closes = self.closes_window
        if closes:
            self._update()
        self.progress.images_seen += self._batches.popleft().training
        self._window -= 1
        self.opens_window = closes
        if closes:
            self._open_window()
        return not self._batches

    def note(self, squared_error: float, images: int) -> None:
        """Remembers a step's mean squared error over so many training images, unweighted."""
        progress = self.progress
        progress.loss_sum += squared_error * images
        if progress.running_loss is None:
            progress.running_loss = squared_error
        share = min(1.0, images / _LOSS_MEMORY)
        progress.running_loss += share * (squared_error - progress.running_loss)

    def shown(self) -> AbstractContextManager[None]:
        """While it lasts, the slot holds the weights that are saved and judged."""
        return nullcontext() if self.average is None else self.average.shown()

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

    def trouble(
        self, squared_error: float, gradient_norm: float, images: int | None = None
    ) -> Trouble | None:
        """Why the trial has diverged, or None.

        Args:
            squared_error: of a step.
            gradient_norm: likewise.
            images: seen up to that step; None for all.
        """
        images = self.progress.images_seen if images is None else images
        if not math.isfinite(squared_error):
            return Trouble("loss_not_finite", {"value": str(squared_error), "images": images})
        if not math.isfinite(gradient_norm) and not self.stepper.scaler.is_enabled():
            return Trouble("gradient_not_finite", {"value": str(gradient_norm), "images": images})
        loss, silence = self.progress.running_loss, self._silence + largest_offset(self.plan.noise) ** 2
        if loss is not None and loss > HOPELESS_LOSS * silence and images >= _LOSS_MEMORY:
            return Trouble("loss_rose", {"loss": loss, "images": images, "silence": silence})
        return None

    def _update(self) -> None:
        plan = self.plan.optimiser
        with self._resting_text() if self.text_rests else nullcontext():
            self.stepper.step()
        self.progress.steps += 1
        if plan.max_weight_norm is not None:
            leaves, scales = self._bank.leaves(self.slot), self._bank.scales(self.slot)
            weight_norms.limit(leaves, scales, plan.max_weight_norm)
        if self.average is not None:
            self.average.update()

    @contextmanager
    def _resting_text(self) -> Iterator[None]:
        """Takes the gradients from the text encoder, so that every optimiser passes it by."""
        leaves = [leaf for part in _TEXT for leaf in self._bank.parameters(self.slot, part)]
        gradients = [leaf.grad for leaf in leaves]
        for leaf in leaves:
            leaf.grad = None
        yield
        for leaf, gradient in zip(leaves, gradients, strict=True):
            leaf.grad = gradient

    def _deal(self) -> None:
        if self.finished:
            return
        data = self.plan.data
        self._batches = deque(
            epoch_batches(
                self._deck, self._sizes, self.progress.epoch, data.repeats, data.batch_size, self.plan.seed
            )
        )
        self._open_window()

    def _open_window(self) -> None:
        batches = list(islice(self._batches, self.plan.optimiser.gradient_accumulation))
        self._window = len(batches)
        self.window_images = sum(len(batch.examples) for batch in batches)


def groups_of(plan: TrainingPlan, bank: AdapterBank, slot: int) -> optimisers.Groups:
    """The slot's parameter groups with their learning rates on AdamW's scale; some may be empty."""
    unet_lr, ratio = plan.optimiser.unet_lr, plan.optimiser.lora_plus_ratio
    rates = {
        "unet": unet_lr,
        "text_encoder": unet_lr * plan.optimiser.text_lr_over_unet_lr,
        "text_encoder_2": unet_lr * plan.optimiser.text2_share,
    }
    if ratio == 1:
        return [{"params": bank.parameters(slot, part), "lr": rate} for part, rate in rates.items()]
    leaves = bank.leaves(slot)
    return [
        {
            "params": [
                leaf for name, leaf in leaves.items() if name.startswith(part + ".") and name.endswith(factor)
            ],
            "lr": rate * multiple,
        }
        for part, rate in rates.items()
        for factor, multiple in (((".down", ".magnitude"), 1.0), (".up", ratio))
    ]


def shape_of(plan: TrainingPlan) -> Shape:
    """The slot that a plan needs."""
    parts = [
        part
        for part, wanted in (
            ("unet", plan.lora.unet),
            *((part, plan.lora.text_encoder) for part in _TEXT),
        )
        if wanted
    ]
    lora = plan.lora
    return Shape(
        rank=lora.rank,
        scale=lora.scale,
        prefixes=tuple(parts),
        conv_rank=lora.conv_rank or int(lora.layers == "all"),
        conv_scale=lora.conv_scale,
        block_ranks=tuple(lora.block_ranks.items()),
        block_rates=tuple(lora.block_lrs.items()),
        frozen=lora.freeze,
        dropout=Dropout(lora.dropout, lora.rank_dropout, lora.module_dropout),
        dora=lora.dora,
        algorithm=lora.algorithm,
        arguments=tuple(lora.algorithm_args.get(lora.algorithm, {}).items()),
    )
