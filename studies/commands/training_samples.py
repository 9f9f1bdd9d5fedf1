"""The pictures that a single training draws at its epoch ends."""

from __future__ import annotations

from evaluation.rendering import RenderSettings, render
from evaluation.subject import Subject
from studies.commands.training import Training
from studies.images import save_png, strip
from studies.spec.sections import SamplesSection
from trainer.outcome import EpochEnd
from trainer.plan import TrainingPlan
from trainer.seeds import derive
from trainer.training.pack import Pack

_ROWS = 8
"""Most rows of a pass that renders: a picture needs two."""


def write_samples(training: Training, pack: Pack, end: EpochEnd) -> None:
    """Writes a picture for every prompt of a training at an epoch end."""
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
