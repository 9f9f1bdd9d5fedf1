"""The loop: many trials, one forward and backward pass, slots refilled as trials leave."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from trainer import losses, merging, noise
from trainer.adapters import AdapterBank, Row
from trainer.base_model import BaseModel
from trainer.bases.conditioning import Conditioning
from trainer.checkpoints import load_state
from trainer.data.buckets import Size
from trainer.data.captions import spoken
from trainer.data.dataset import Encoded, Shown, framed
from trainer.data.prior import prior_weight
from trainer.data.views import drawn
from trainer.outcome import Diverged, EpochEnd, Event, OutOfMemory
from trainer.plan import ComputePlan, NoisePlan, TrainingPlan
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
    priors: list[float | None]
    """Each row's prior loss weight; None for training images."""
    shown: list[Shown]

    @property
    def slots(self) -> list[Row]:
        return [self.runs[i].slot for i in self.owner]

    @property
    def noise_plans(self) -> list[NoisePlan]:
        return [self.runs[i].plan.noise for i in self.owner]

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
        size: Size = max(sizes, key=lambda size: (sizes[size], size))
        runs = [run for run in self.runs.values() if run.next_size == size]
        return sorted(runs, key=lambda run: (run.plan.data.batch_size, run.plan.lora.rank, run.slot))

    def _attempt(self, runs: list[TrainingRun]) -> list[float] | None:
        """The mean squared error of each run, or None when memory ran out and there is a run to spare."""
        kept: dict[int, Tensor] = {}
        try:
            kept = {run.slot: self.bank.gradients(run.slot).clone() for run in runs if not run.opens_window}
            return self._forward_backward(runs)
        except torch.OutOfMemoryError:
            if len(self.runs) == 1:
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
        rows = self._rows(runs)
        for run in runs:
            if run.opens_window:
                self.bank.gradients(run.slot).zero_()
        text = self._text(rows)
        with self.bank.rows(rows.slots, rows.presentations):
            said = self.base.predict(rows.inputs, rows.timesteps, text, self._time_ids(rows))
            wanted = noise.target(rows.latents, rows.noise, rows.alphas, self.base.prediction_type)
            squared = losses.squared_error(said, wanted)
            minimised = losses.minimised(squared, said, wanted, rows.noise_plans)
            torch.autograd.backward((minimised * self._coefficients(rows).to(squared)).sum())
        return _means(squared.detach(), rows, len(runs))

    def _rows(self, runs: list[TrainingRun]) -> _Rows:
        draws, offsets, captions, priors = [], [], [], []
        owner: list[int] = []
        special: list[noise.Row] = []
        shown = self._shown(runs)
        latents = self.data.presented(shown)
        timesteps = len(self.base.alphas_cumprod)
        for i, run in enumerate(runs):
            batch = run.next_batch
            for presentation, example in zip(batch.presentations, batch.examples, strict=True):
                shape = tuple(latents[len(owner)].shape)
                draws.append(noise.draw(run.plan.seed, presentation, shape, timesteps))
                offsets.append(run.plan.noise.offset)
                captions.append(self._caption(run.plan, presentation, example))
                weight = None if presentation >= 0 else prior_weight(run.plan.data, run.progress.epoch)
                priors.append(weight)
                owner.append(i)
            if not run.plan.noise.plain:
                special += noise.rows(run.plan, batch.presentations, len(owner) - len(batch.presentations))
        dtype = self.bank.dtype
        clean = torch.stack(latents).to(dtype)
        share = torch.tensor(offsets, dtype=dtype).view(-1, 1, 1, 1)
        added = torch.stack([d.noise for d in draws]).to(dtype)
        added += share * torch.stack([d.offset for d in draws]).to(dtype)
        when = torch.tensor([d.timestep for d in draws])
        met = noise.specialise(special, draws, latents, added, when, timesteps) if special else added
        alphas = self.base.alphas_cumprod[when].to(self.base.device)
        wanted = added.to(self.base.device)
        met = wanted if met is added else met.to(self.base.device)
        inputs, when = noise.noised(clean, met, alphas).to(self.base.dtype), when.to(self.base.device)
        return _Rows(runs, owner, clean, wanted, inputs, when, alphas, captions, priors, shown)

    def _shown(self, runs: list[TrainingRun]) -> list[Shown]:
        """Every row's example, and how its presentation shows it."""
        examples, shown = self.data.dataset.examples, []
        for run in runs:
            batch, plan = run.next_batch, run.plan
            for presentation, example in zip(batch.presentations, batch.examples, strict=True):
                original = examples[example].size
                shown.append((example, drawn(plan.data, plan.seed, presentation, original, batch.size)))
        return shown

    def _caption(self, plan: TrainingPlan, presentation: int, example: int) -> str:
        shown = self.data.dataset.examples[example]
        return spoken(shown.caption, shown.rules, plan.data, plan.seed, presentation)

    def _time_ids(self, rows: _Rows) -> Tensor | None:
        """SDXL's sizes of each row's picture, shape (n, 6); None for other families."""
        if not self.base.wants_sizes:
            return None
        return self.base.time_ids([framed(view) for _, view in rows.shown])

    def _text(self, rows: _Rows) -> Conditioning:
        """Embeddings of all rows: cached where the text encoder is frozen, else encoded with gradients."""
        skips = [rows.runs[i].plan.base.clip_skip for i in rows.owner]
        states = [(rows.runs[i].trains_text, rows.runs[i].text_rests) for i in rows.owner]
        trained = [row for row, state in enumerate(states) if state == (True, False)]
        resting = [row for row, state in enumerate(states) if state == (True, True)]
        frozen = [row for row, state in enumerate(states) if not state[0]]
        presentations, parts = rows.presentations, []
        for chosen, moves in ((trained, True), (resting, False)):
            if chosen:
                slots = [rows.runs[rows.owner[row]].slot for row in chosen]
                shown = [presentations[row] for row in chosen] if moves else None
                captions, own = [rows.captions[r] for r in chosen], [skips[r] for r in chosen]
                with self.bank.rows(slots, shown), torch.set_grad_enabled(moves):
                    parts.append(self.base.encode_text(captions, own, self.data.prompts))
        if frozen:
            parts.append(self.data.text([rows.captions[r] for r in frozen], [skips[r] for r in frozen]))
        order = torch.tensor(trained + resting + frozen, device=self.base.device).argsort()
        return Conditioning.cat(parts)[order]

    def _coefficients(self, rows: _Rows) -> Tensor:
        """Each row's factor in the sum of all losses: its loss weight / its window's images * loss scale."""
        factors = torch.ones(len(rows.owner), dtype=torch.float64)
        for row, i in enumerate(rows.owner):
            run, plan = rows.runs[i], rows.runs[i].plan.noise
            if plan.min_snr_gamma is not None or plan.debiased:
                factors[row] = losses.weight(rows.alphas[row].cpu(), plan, self.base.prediction_type)
            prior = rows.priors[row]
            factors[row] *= (1.0 if prior is None else prior) * run.scaler.get_scale() / run.window_images
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
    """Wraps attention, feed-forward and convolution layers of the U-Net, and the text encoders' own."""
    models = {"unet": base.unet, **base.text_encoders}
    targets = {"unet": unet_targets(base.unet)}
    targets |= {part: text_targets(encoder) for part, encoder in base.text_encoders.items()}
    return AdapterBank(models, targets, capacity, {"unet": convolution_targets(base.unet)})


def _means(values: Tensor, rows: _Rows, count: int) -> list[float]:
    """The mean of each run over its training images."""
    trained = [
        (i, value)
        for i, value, prior in zip(rows.owner, values.tolist(), rows.priors, strict=True)
        if prior is None
    ]
    sums, sizes = [0.0] * count, Counter(i for i, _ in trained)
    for i, value in trained:
        sums[i] += value / sizes[i]
    return sums
