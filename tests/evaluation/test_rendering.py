"""Renders against a diffusers pipeline with the same solver."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from evaluation.rendering import RenderSettings, render
from evaluation.subject import Subject
from tests.evaluation.conftest import SUBJECTS, Stand
from trainer.adapters.bank import AdapterBank
from trainer.adapters.wrapping import bank_for
from trainer.bases.base_model import BaseModel
from trainer.data.dataset import Dataset
from trainer.data.encoded import Encoded
from trainer.seeds import generator

SETTINGS = RenderSettings(steps=5, guidance=4.0, width=64, height=64, negative_prompt="blurry")
PROMPTS, SEEDS = ["a red heart", "a drum", "a frog"], [11, 12, 13]


@pytest.fixture(scope="module")
def plain(
    fresh_base: Callable[..., BaseModel],
    few_dataset: Dataset,
    encode: Callable[[Dataset, BaseModel], Encoded],
) -> tuple[Encoded, AdapterBank]:
    """The whole micro Stable Diffusion with an empty bank."""
    base = fresh_base()
    return encode(few_dataset, base), bank_for(base, 1)


@pytest.mark.parametrize(("guidance", "guided"), [(4.0, 1.0), (1.0, 1.0), (4.0, 0.6)])
@torch.no_grad()
def test_the_base_renders_what_a_diffusers_pipeline_renders(
    plain: tuple[Encoded, AdapterBank], assets: Path, guidance: float, guided: float
) -> None:
    from diffusers import DPMSolverMultistepScheduler, StableDiffusionPipeline

    settings = replace(SETTINGS, guidance=guidance, guided=guided)
    found = render(*plain, [Subject(None)], PROMPTS[:2], SEEDS[:2], settings, max_rows=8)[0]
    pipe = StableDiffusionPipeline.from_pretrained(assets / "micro-sd", torch_dtype=torch.float32)
    pipe.scheduler = DPMSolverMultistepScheduler.from_config(pipe.scheduler.config)
    pipe.set_progress_bar_config(disable=True)
    latents = torch.stack([torch.randn(4, 16, 16, generator=generator(seed, "render")) for seed in SEEDS[:2]])

    def after(pipe: Any, step: int, timestep: int, tensors: dict[str, Any]) -> dict[str, Any]:
        """Diffusers' own recipe for ending guidance early: three of five steps are guided."""
        if guided == 0.6 and step == 2:
            pipe._guidance_scale = 1.0
            tensors["prompt_embeds"] = tensors["prompt_embeds"].chunk(2)[1]
        return tensors

    wanted = pipe(
        PROMPTS[:2],
        negative_prompt=["blurry"] * 2,
        latents=latents,
        num_inference_steps=5,
        guidance_scale=guidance,
        width=64,
        height=64,
        output_type="pt",
        callback_on_step_end=after,
        callback_on_step_end_tensor_inputs=["prompt_embeds"],
    ).images
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-3)


def test_subjects_render_together_as_each_alone(stand: Stand) -> None:
    together = render(stand.data, stand.bank, SUBJECTS, PROMPTS, SEEDS, SETTINGS, max_rows=16)
    assert together.shape == (4, 3, 3, 64, 64)
    for i, subject in enumerate(SUBJECTS):
        alone = render(stand.data, stand.bank, [subject], PROMPTS, SEEDS, SETTINGS, max_rows=99)
        torch.testing.assert_close(together[i], alone[0], rtol=0, atol=1e-3)


def test_a_lora_changes_the_render_and_the_base_row_is_without_lora(
    stand: Stand, tiny_base: Callable[..., BaseModel], encode: Callable[[Dataset, BaseModel], Encoded]
) -> None:
    together = render(stand.data, stand.bank, SUBJECTS, PROMPTS[:1], SEEDS[:1], SETTINGS, max_rows=64)
    base = tiny_base()
    data = encode(stand.data.dataset, base)
    untouched = render(
        data, bank_for(base, 1), [Subject(None)], PROMPTS[:1], SEEDS[:1], SETTINGS, max_rows=64
    )
    torch.testing.assert_close(together[1], untouched[0], rtol=0, atol=1e-3)
    for i in (0, 2, 3):
        assert float((together[i] - together[1]).abs().max()) > 0.01


def test_the_same_seed_gives_the_same_render_and_another_another(stand: Stand) -> None:
    first = render(stand.data, stand.bank, [Subject(0)], ["a", "a"], [5, 6], SETTINGS, max_rows=8)[0]
    torch.manual_seed(1)
    again = render(stand.data, stand.bank, [Subject(0)], ["a", "a"], [6, 5], SETTINGS, max_rows=8)[0]
    torch.testing.assert_close(first, again.flip(0), rtol=0, atol=1e-4)
    assert float((first[0] - first[1]).abs().max()) > 0.05


def test_width_and_height_are_not_confused(stand: Stand) -> None:
    wide = RenderSettings(steps=2, guidance=1.0, width=96, height=48)
    assert render(stand.data, stand.bank, [Subject(0)], ["a"], [5], wide, max_rows=8).shape == (
        1,
        1,
        3,
        48,
        96,
    )
