"""The loop: many trials, one forward and backward pass, slots refilled as trials leave."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from trainer import lora_file, losses, merging, noise
from trainer.adapters import AdapterBank, Row
from trainer.base_model import BaseModel
from trainer.checkpoints import load_state
from trainer.data.buckets import Size
from trainer.data.captions import shuffled
from trainer.data.dataset import Encoded
from trainer.outcome import Diverged, EpochEnd, Event, OutOfMemory
from trainer.plan import ComputePlan, TrainingPlan
from trainer.targets import convolution_targets, text_targets, unet_targets
from trainer.training_run import TrainingRun


@dataclass(frozen=True, slots=True)
class _Rows:
    """One step's batch: the rows of all participating runs, run after run."""

    runs: list[TrainingRun]
    owner: list[int]
    """Index into ``runs`` of each row."""
    latents: Tensor
    noise: Tensor
    inputs: Tensor
    timesteps: Tensor
    alphas: Tensor
    """alphas_cumprod at each row's timestep."""
    captions: list[str]

    @property
    def slots(self) -> list[Row]:
        return [self.runs[i].slot for i in self.owner]

    @property
    def presentations(self) -> list[int]:
        return [shown for run in self.runs for shown in run.next_batch.presentations]


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
        """Images in the latest step."""
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

    def evict(self, trial: int) -> None:
        """Frees a trial's slot."""
        self.bank.close(self.runs.pop(trial).slot)

    def _begin(self, slot: int, plan: TrainingPlan) -> None:
        if plan.lora.start is not None:
            merging.start(self.bank, slot, plan.lora.start, lora_file.stems(self.bank.layers))

    def step(self) -> list[Event]:
        """One forward and backward pass over the next batch of every run whose images share a size.

        Runs that reach an epoch end stay admitted; runs that diverge are evicted. When memory runs out, the
        newest run is evicted and the pack stays one smaller.
        """
        runs = self._participants()
        errors = self._attempt(runs)
        if errors is None:
            return [self._shrink()]
        self.last_images = sum(len(run.next_batch.examples) for run in runs)
        self.last_loss = sum(errors) / len(errors)
        for run in runs:
            if run.scaler.is_enabled():
                run.scaler.unscale_(run.optimiser)
        norms = torch.stack([self.bank.gradients(run.slot).norm() for run in runs]).tolist()
        events = [self._advance(*facts) for facts in zip(runs, errors, norms, strict=True)]
        return [event for event in events if event is not None]

    def _participants(self) -> list[TrainingRun]:
        """The runs whose next images have the commonest size, neighbours alike in batch size and rank."""
        sizes = Counter(run.next_size for run in self.runs.values())
        size: Size = max(sizes, key=lambda size: (sizes[size], size))
        runs = [run for run in self.runs.values() if run.next_size == size]
        return sorted(runs, key=lambda run: (run.plan.data.batch_size, run.plan.lora.rank, run.slot))

    def _attempt(self, runs: list[TrainingRun]) -> list[float] | None:
        """The mean squared error of each run, or None when memory ran out and there is a run to spare."""
        try:
            return self._forward_backward(runs)
        except torch.OutOfMemoryError:
            if len(self.runs) == 1:
                raise
            return None

    def _forward_backward(self, runs: list[TrainingRun]) -> list[float]:
        rows = self._rows(runs)
        for run in runs:
            self.bank.gradients(run.slot).zero_()
        text = self._text(rows)
        with self.bank.rows(rows.slots, rows.presentations):
            said = self.base.unet(
                rows.inputs.to(memory_format=torch.channels_last), rows.timesteps, encoder_hidden_states=text
            ).sample
            wanted = noise.target(rows.latents, rows.noise, rows.alphas, self.base.prediction_type)
            squared = losses.squared_error(said, wanted)
            torch.autograd.backward((squared * self._coefficients(rows).to(squared)).sum())
        return _means(squared.detach(), rows.owner, len(runs))

    def _rows(self, runs: list[TrainingRun]) -> _Rows:
        draws, latents, offsets, captions, owner = [], [], [], [], []
        timesteps = len(self.base.alphas_cumprod)
        for i, run in enumerate(runs):
            batch = run.next_batch
            for presentation, example in zip(batch.presentations, batch.examples, strict=True):
                clean = self.data.latents(example)
                latents.append(clean)
                draws.append(noise.draw(run.plan.seed, presentation, tuple(clean.shape), timesteps))
                offsets.append(run.plan.noise.offset)
                captions.append(self._caption(run.plan, presentation, example))
                owner.append(i)
        dtype = self.bank.dtype
        clean = torch.stack(latents).to(dtype)
        share = torch.tensor(offsets, dtype=dtype).view(-1, 1, 1, 1)
        added = torch.stack([d.noise for d in draws]).to(dtype)
        added += share * torch.stack([d.offset for d in draws]).to(dtype)
        added = added.to(self.base.device)
        when = torch.tensor([d.timestep for d in draws])
        alphas = self.base.alphas_cumprod[when].to(self.base.device)
        inputs = noise.noised(clean, added, alphas).to(self.base.dtype)
        return _Rows(runs, owner, clean, added, inputs, when.to(self.base.device), alphas, captions)

    def _caption(self, plan: TrainingPlan, presentation: int, example: int) -> str:
        caption = self.data.dataset.examples[example].caption
        if not plan.data.shuffle_caption:
            return caption
        return shuffled(caption, plan.data.keep_tokens, plan.seed, presentation)

    def _text(self, rows: _Rows) -> Tensor:
        """Embeddings of all rows: cached where the text encoder is frozen, else encoded with gradients."""
        skips = [rows.runs[i].plan.base.clip_skip for i in rows.owner]
        trained = [row for row, i in enumerate(rows.owner) if rows.runs[i].trains_text]
        frozen = [row for row, i in enumerate(rows.owner) if not rows.runs[i].trains_text]
        parts = []
        if trained:
            shown = [rows.presentations[row] for row in trained]
            with self.bank.rows([rows.runs[rows.owner[row]].slot for row in trained], shown):
                parts.append(
                    self.base.encode_text([rows.captions[r] for r in trained], [skips[r] for r in trained])
                )
        if frozen:
            parts.append(self.data.text([rows.captions[r] for r in frozen], [skips[r] for r in frozen]))
        order = torch.tensor(trained + frozen, device=self.base.device).argsort()
        return torch.cat(parts)[order]

    def _coefficients(self, rows: _Rows) -> Tensor:
        """Each row's factor in the sum of all losses: its loss weight / its run's batch size * loss scale."""
        batch = Counter(rows.owner)
        factors = torch.ones(len(rows.owner), dtype=torch.float64)
        for row, i in enumerate(rows.owner):
            run = rows.runs[i]
            gamma = run.plan.noise.min_snr_gamma
            if gamma is not None:
                factors[row] = losses.min_snr_weight(rows.alphas[row].cpu(), gamma, self.base.prediction_type)
            factors[row] *= run.scaler.get_scale() / batch[i]
        return factors

    def _advance(self, run: TrainingRun, squared_error: float, norm: float) -> Event | None:
        steps = run.scaler.is_enabled() or math.isfinite(norm)
        ended = run.step(squared_error, norm) if steps else False
        reason = run.trouble(squared_error, norm)
        if reason is not None:
            self.evict(run.trial)
            return Diverged(run.trial, run.progress.images_seen, reason)
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


def bank_for(base: BaseModel, capacity: int) -> AdapterBank:
    """Wraps the attention and feed-forward layers of U-Net and text encoder."""
    models = {"unet": base.unet, "text_encoder": base.text_encoder}
    targets = {"unet": unet_targets(base.unet), "text_encoder": text_targets(base.text_encoder)}
    return AdapterBank(models, targets, capacity, {"unet": convolution_targets(base.unet)})


def _means(values: Tensor, owner: list[int], count: int) -> list[float]:
    sums, rows = [0.0] * count, Counter(owner)
    for value, i in zip(values.tolist(), owner, strict=True):
        sums[i] += value / rows[i]
    return sums
