"""Every sampler by name, against the pipeline of diffusers with the same scheduler."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from evaluation import solvers
from evaluation.rendering import render
from evaluation.subject import Subject
from tests.evaluation.conftest import Stand
from tests.evaluation.test_rendering import PROMPTS, SEEDS, SETTINGS
from trainer.adapters.bank import AdapterBank
from trainer.adapters.wrapping import bank_for
from trainer.bases.base_model import BaseModel
from trainer.bases.families import FAMILIES
from trainer.data.dataset import Dataset
from trainer.data.encoded import Encoded
from trainer.seeds import generator

NEEDED = {"ddim", "euler", "euler_a", "heun", "dpmpp_2m", "dpmpp_2m_karras", "unipc", "pndm"}


def test_the_usual_names_are_there() -> None:
    assert set(solvers.SOLVERS) >= NEEDED
    assert solvers.problem("euler_a") is None
    told = solvers.problem("eulr")
    assert told is not None
    assert told.startswith("unknown sampler 'eulr'; choose one of: ddim, ")


@pytest.fixture(scope="module")
def plain(
    fresh_base: Callable[..., BaseModel],
    few_dataset: Dataset,
    encode: Callable[[Dataset, BaseModel], Encoded],
) -> tuple[Encoded, AdapterBank]:
    base = fresh_base()
    return encode(few_dataset, base), bank_for(base, 1)


@pytest.mark.parametrize("name", sorted(NEEDED - {"dpmpp_2m"}))
@torch.no_grad()
def test_a_sampler_renders_what_the_pipeline_renders_with_its_scheduler(
    plain: tuple[Encoded, AdapterBank], assets: Path, name: str
) -> None:
    import diffusers

    settings = replace(SETTINGS, sampler=name, steps=3)
    found = render(*plain, [Subject(None)], PROMPTS[:2], SEEDS[:2], settings, max_rows=8)[0]
    kind, extra = FAMILIES["sd1"].rendering.samplers[name]
    pipe = diffusers.StableDiffusionPipeline.from_pretrained(assets / "micro-sd", torch_dtype=torch.float32)
    pipe.scheduler = getattr(diffusers, kind).from_config(pipe.scheduler.config, **extra)
    pipe.set_progress_bar_config(disable=True)
    latents = torch.stack([torch.randn(4, 16, 16, generator=generator(seed, "render")) for seed in SEEDS[:2]])
    wanted = pipe(
        PROMPTS[:2],
        negative_prompt=["blurry"] * 2,
        latents=latents,
        num_inference_steps=3,
        guidance_scale=4.0,
        width=64,
        height=64,
        generator=[generator(seed, "sampler") for seed in SEEDS[:2]],
        output_type="pt",
    ).images
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-3)


@pytest.mark.parametrize("name", FAMILIES["sd1"].rendering.samplers)
def test_neighbours_do_not_change_a_picture(stand: Stand, name: str) -> None:
    settings = replace(SETTINGS, sampler=name, steps=3)
    both = render(stand.data, stand.bank, [Subject(0), Subject(2)], PROMPTS[:2], SEEDS[:2], settings, 8)
    alone = render(stand.data, stand.bank, [Subject(2)], PROMPTS[1:2], SEEDS[1:2], settings, 8)
    assert both.isfinite().all()
    torch.testing.assert_close(both[1, 1], alone[0, 0], rtol=0, atol=1e-4)
