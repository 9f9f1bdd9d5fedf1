"""One step's batch: the rows of all runs that take part, run after run."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from trainer.adapters.bank import AdapterBank, Row
from trainer.bases.conditioning import Conditioning
from trainer.data.augmentation import drawn
from trainer.data.captions import spoken
from trainer.data.dataset import Shown, framed
from trainer.data.encoded import Encoded
from trainer.data.prior import prior_weight
from trainer.plan import TrainingPlan
from trainer.plans.noise import NoisePlan
from trainer.sending import send
from trainer.training import noise
from trainer.training.run import TrainingRun


@dataclass(frozen=True, slots=True)
class Rows:
    """One step's batch: the rows of all participating runs, run after run."""

    runs: list[TrainingRun]
    owner: list[int]
    """Index into ``runs`` of each row."""
    latents: Tensor
    noise: Tensor
    inputs: Tensor
    timesteps: Tensor
    levels: Tensor
    """The process' noise level at each row's timestep, on the CPU."""
    captions: list[str]
    priors: list[float | None]
    """Each row's prior loss weight; None for training images."""
    shown: list[Shown]

    @property
    def slots(self) -> list[Row]:
        """Each row's slot of the bank."""
        return [self.runs[i].slot for i in self.owner]

    @property
    def noise_plans(self) -> list[NoisePlan]:
        """Each row's noise settings."""
        return [self.runs[i].plan.noise for i in self.owner]

    @property
    def presentations(self) -> list[int]:
        """Each row's position in its trial's order."""
        return [shown for run in self.runs for shown in run.next_batch.presentations]


def gather(runs: list[TrainingRun], data: Encoded, dtype: torch.dtype) -> Rows:
    """The next batch of every run, noised.

    Args:
        runs: who takes part; their next images share a size.
        data: the encoded data set and its base model.
        dtype: of latents and noise.
    """
    base = data.base
    draws, added, captions, priors = [], [], [], []
    owner: list[int] = []
    special: list[noise.NoiseRow] = []
    shown = _shown(runs, data)
    latents = data.presented(shown)
    process, tokens = base.process, base.patches(*latents[0].shape[-2:])
    for i, run in enumerate(runs):
        batch = run.next_batch
        for presentation, example in zip(batch.presentations, batch.examples, strict=True):
            latent = latents[len(owner)]
            draw = noise.draw(run.plan.seed, presentation, tuple(latent.shape), process.count)
            draws.append(draw)
            added.append(noise.with_offset(draw, run.plan.noise, latent, dtype))
            captions.append(_caption(data, run.plan, presentation, example))
            weight = None if presentation >= 0 else prior_weight(run.plan.data, run.progress.epoch)
            priors.append(weight)
            owner.append(i)
        if noise.asks(run.plan.noise, process):
            special += noise.rows(run.plan, batch.presentations, len(owner) - len(batch.presentations))
    clean = torch.stack(latents).to(dtype)
    asked = torch.stack(added)
    when = torch.tensor([d.timestep for d in draws])
    when = when.double() if process.continuous else when
    met = noise.specialise(special, draws, asked, when, process, tokens) if special else asked
    levels = process.level(when)
    wanted = send(asked, base.device)
    met = wanted if met is asked else send(met, base.device)
    inputs = process.noised(clean, met, send(levels, base.device)).to(base.dtype)
    when = send(when, base.device)
    return Rows(runs, owner, clean, wanted, inputs, when, levels, captions, priors, shown)


def numbers(rows: Rows, data: Encoded) -> Tensor | None:
    """What the denoiser is told of each row beside its text."""
    guidances = [plan.guidance for plan in rows.noise_plans]
    return data.base.numbers([framed(view) for _, view in rows.shown], guidances)


def text(rows: Rows, data: Encoded, bank: AdapterBank) -> Conditioning:
    """Embeddings of all rows: cached where the text encoder is frozen, else encoded with gradients."""
    base = data.base
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
            recomputes = moves and base.unet.is_gradient_checkpointing
            again = partial(bank.rows, slots, shown) if recomputes else None
            with bank.rows(slots, shown), torch.set_grad_enabled(moves):
                parts.append(base.encode_text(captions, own, data.prompts, again))
    if frozen:
        parts.append(data.text([rows.captions[r] for r in frozen], [skips[r] for r in frozen]))
    order = torch.tensor(trained + resting + frozen).argsort()
    return Conditioning.cat(parts)[send(order, base.device)]


def _shown(runs: list[TrainingRun], data: Encoded) -> list[Shown]:
    """Every row's example, and how its presentation shows it."""
    examples, shown = data.dataset.examples, []
    for run in runs:
        batch, plan = run.next_batch, run.plan
        for presentation, example in zip(batch.presentations, batch.examples, strict=True):
            original = examples[example].size
            shown.append((example, drawn(plan.data, plan.seed, presentation, original, batch.size)))
    return shown


def _caption(data: Encoded, plan: TrainingPlan, presentation: int, example: int) -> str:
    shown = data.dataset.examples[example]
    return spoken(shown.caption, shown.rules, plan.data, plan.seed, presentation)
