"""Pictures from fixed prompts and seeds, for many subjects in one pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from evaluation import solvers
from evaluation.subject import Subject, embed
from trainer.adapters.bank import AdapterBank, Row
from trainer.bases.base_model import BaseModel
from trainer.bases.conditioning import Conditioning, Framing
from trainer.data.encoded import Encoded
from trainer.seeds import generator


@dataclass(frozen=True, slots=True)
class RenderSettings:
    """How pictures are sampled."""

    steps: int
    guidance: float
    """Scale of classifier-free guidance (Ho & Salimans 2022); 1 switches it off."""
    width: int
    """Pixels."""
    height: int
    negative_prompt: str = ""
    sampler: str | None = None
    """Name in ``evaluation.solvers.SOLVERS``; None takes the family's."""
    guided: float = 1.0
    """Share of the steps, from the first on, that guidance acts in; the others cost half as much. At low noise
    it changes little (Kynkäänniemi et al. 2024)."""

    @property
    def guided_steps(self) -> int:
        """The number of these steps."""
        return round(self.guided * self.steps) if self.guidance != 1 else 0


@dataclass(frozen=True, slots=True)
class _Rows:
    """What is denoised together: a row for each subject and prompt."""

    slots: list[Row]
    latents: Tensor
    wanted: Conditioning
    unwanted: Conditioning
    generators: list[torch.Generator]
    """Each row's own, for samplers that draw at every step."""


@torch.no_grad()
def render(
    data: Encoded,
    bank: AdapterBank,
    subjects: Sequence[Subject],
    prompts: Sequence[str],
    seeds: Sequence[int],
    settings: RenderSettings,
    max_rows: int,
) -> Tensor:
    """One picture per subject and prompt: shape (subjects, prompts, 3, height, width), in [0, 1], on the CPU.

    Args:
        data: the encoded data set and its base model.
        bank: where the subjects' slots are.
        subjects: who renders.
        prompts: what, once each.
        seeds: the seed of each prompt's starting noise, the same for all subjects.
        settings: how.
        max_rows: most rows in one forward pass.
    """
    wanted = _flat(embed(data, bank, subjects, prompts))
    unwanted = _flat(embed(data, bank, subjects, [settings.negative_prompt])[:, [0] * len(prompts)])
    starts = _start(data.base, seeds, settings)
    slots: list[Row] = [subject.slot for subject in subjects for _ in prompts]

    def draw(take: slice) -> Tensor:
        """Pictures of some subjects' prompts, subject after subject."""
        places = [place % len(prompts) for place in range(take.start, take.stop)]
        draws = [generator(seeds[place], "sampler") for place in places]
        rows = _Rows(slots[take], starts[places], wanted[take], unwanted[take], draws)
        return data.base.decode(_denoise(data.base, bank, rows, settings)).cpu()

    twice = settings.guided_steps and not data.base.family.rendering.embedded
    at_once = max_rows // 2 if twice else max_rows
    drawn = data.base.residency.limits.run("rendering", len(slots), at_once, draw)
    return drawn.view(len(subjects), len(prompts), *drawn.shape[1:])


def _flat(text: Conditioning) -> Conditioning:
    """(subjects, prompts, ...) -> (subjects * prompts, ...)."""
    return text.map(lambda tensor: tensor.flatten(0, 1))


def _start(base: BaseModel, seeds: Sequence[int], settings: RenderSettings) -> Tensor:
    shape = (
        base.latent_channels,
        settings.height // base.latent_scale,
        settings.width // base.latent_scale,
    )
    return torch.stack([torch.randn(shape, generator=generator(seed, "render")) for seed in seeds])


def _denoise(base: BaseModel, bank: AdapterBank, rows: _Rows, settings: RenderSettings) -> Tensor:
    """From pure noise to latents."""
    rendering, patches = base.family.rendering, base.patches(*rows.latents.shape[-2:])
    solver = solvers.make(settings.sampler, rendering, base.schedule_config)
    base.family.functions.set_timesteps(solver, settings.steps, patches)
    extra = {"generator": rows.generators} if solvers.draws(solver) else {}
    latents: Tensor = rows.latents.to(base.device) * solvers.first_sigma(solver)
    frame = Framing.whole((settings.width, settings.height))
    both = Conditioning.cat((rows.wanted, rows.unwanted))
    guided_steps = 0 if rendering.embedded else settings.guided_steps
    until = round(guided_steps / settings.steps * len(solver.timesteps))
    for step, timestep in enumerate(solver.timesteps):
        guided = step < until
        inputs = solvers.scaled(solver, torch.cat([latents] * 2) if guided else latents, timestep)
        told = both if guided else rows.wanted
        numbers = base.numbers([frame] * len(inputs), [settings.guidance] * len(inputs))
        with bank.rows([*rows.slots, *rows.slots] if guided else rows.slots):
            said = base.predict(inputs.to(base.dtype), timestep.to(base.device), told, numbers)
        said = said.to(latents.dtype)
        if guided:
            with_text, without = said.chunk(2)
            said = base.family.functions.guided(with_text, without, settings.guidance)
        latents = solver.step(said, timestep, latents, **extra).prev_sample
    return latents
