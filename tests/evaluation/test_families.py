"""SDXL and v-prediction bases before the judge, against diffusers' pipelines and plain loops."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from evaluation.judge import Judge
from evaluation.panel import Panel
from evaluation.rendering import RenderSettings, render
from evaluation.subject import Subject
from evaluation.validation import cells, measure
from tests.evaluation.conftest import fill
from trainer.adapters.bank import AdapterBank, Shape
from trainer.adapters.wrapping import bank_for
from trainer.bases.base_model import BaseModel
from trainer.data.dataset import Dataset
from trainer.data.encoded import Encoded
from trainer.seeds import generator
from trainer.training import noise

Load = Callable[..., BaseModel]
SETTINGS = RenderSettings(steps=4, guidance=3.0, width=64, height=64)
PROMPTS = ["a red heart", "a drum"]
EVERYTHING = ("unet", "text_encoder", "text_encoder_2")


@dataclass
class Stand:
    folder: Path
    data: Encoded
    bank: AdapterBank


@pytest.fixture(scope="module")
def stands(
    load_base: Load,
    micro_sdxl: Path,
    micro_sd2: Path,
    few_dataset: Dataset,
    encode: Callable[[Dataset, BaseModel], Encoded],
) -> dict[str, Stand]:
    """Slot 0: U-Net, rank 4; slot 1: everything, rank 2."""
    found = {}
    for name, folder, values in (
        ("sdxl", micro_sdxl, {}),
        ("sd2", micro_sd2, {}),
        ("sd2 zero SNR", micro_sd2, {"zero_terminal_snr": True}),
    ):
        base = load_base(folder, **values)
        bank = bank_for(base, 2)
        for slot, (rank, parts) in enumerate([(4, ("unet",)), (2, EVERYTHING)]):
            bank.open(slot, Shape(rank, 0.5, parts), seed=slot)
            fill(bank, slot)
        found[name] = Stand(folder, encode(few_dataset, base), bank)
    return found


SUBJECTS = (Subject(0), Subject(None), Subject(1))
NAMES = ("sdxl", "sd2", "sd2 zero SNR")


@torch.no_grad()
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("guidance", [1.0, 4.0])
def test_the_base_renders_what_a_diffusers_pipeline_renders(
    name: str, guidance: float, stands: dict[str, Stand]
) -> None:
    stand = stands[name]
    settings = replace(SETTINGS, guidance=guidance)
    found = render(stand.data, stand.bank, [Subject(None)], PROMPTS, [5, 6], settings, 8)[0]
    pipe = pipeline(stand, name)
    noise = torch.stack([torch.randn(4, 16, 16, generator=generator(seed, "render")) for seed in (5, 6)])
    wanted: Tensor = pipe(
        PROMPTS,
        negative_prompt=["", ""],
        latents=noise,
        num_inference_steps=4,
        guidance_scale=guidance,
        height=64,
        width=64,
        output_type="pt",
    ).images
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-3)


def pipeline(stand: Stand, name: str) -> Any:
    from diffusers import (
        DiffusionPipeline,
        DPMSolverMultistepScheduler,
    )

    pipe = DiffusionPipeline.from_pretrained(stand.folder, safety_checker=None)
    changes = {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing"} if "zero" in name else {}
    pipe.scheduler = DPMSolverMultistepScheduler.from_config(pipe.scheduler.config, **changes)
    pipe.set_progress_bar_config(disable=True)
    return pipe


@pytest.mark.parametrize("name", NAMES)
def test_subjects_are_judged_together_as_each_alone(name: str, stands: dict[str, Stand]) -> None:
    stand = stands[name]
    grid = [cells(stand.data, i, 3, seed=0) for i in stand.data.dataset.split.validation]
    together = measure(stand.data, stand.bank, SUBJECTS, grid, max_rows=9)
    drawn = render(stand.data, stand.bank, SUBJECTS, PROMPTS, [1, 2], SETTINGS, 12)
    assert together.isfinite().all()
    assert drawn.isfinite().all()
    for i, subject in enumerate(SUBJECTS):
        alone = measure(stand.data, stand.bank, [subject], grid, max_rows=99)
        torch.testing.assert_close(together[i : i + 1], alone, rtol=1e-4, atol=1e-6)
        picture = render(stand.data, stand.bank, [subject], PROMPTS, [1, 2], SETTINGS, 99)
        torch.testing.assert_close(drawn[i : i + 1], picture, rtol=0, atol=1e-4)
    assert not torch.allclose(together[0], together[1], rtol=1e-3)
    assert not torch.allclose(together[2], together[1], rtol=1e-3)


@torch.no_grad()
def test_sdxl_errors_are_those_of_a_plain_loop_with_each_images_own_sizes(
    stands: dict[str, Stand], encode: Callable[[Dataset, BaseModel], Encoded]
) -> None:
    stand = stands["sdxl"]
    base, dataset = stand.data.base, stand.data.dataset
    sizes = tuple((96, 48) if i % 2 else (64, 64) for i in range(len(dataset.examples)))
    data = encode(replace(dataset, sizes=sizes), base)
    grid = [cells(data, i, 2, seed=0) for i in (0, 1)]
    found = measure(data, stand.bank, [Subject(None)], grid, max_rows=16)
    ids = ([96.0, 96.0, 0.0, 0.0, 64.0, 64.0], [96.0, 96.0, 24.0, 0.0, 48.0, 96.0])
    for i, image in enumerate(grid):
        text = base.encode_text([image.caption], [1])
        for j, when in enumerate(image.timesteps):
            kept = base.alphas_cumprod[when].float()
            noisy = kept.sqrt() * image.latents[j] + (1 - kept).sqrt() * image.noise[j]
            said = base.unet(
                noisy[None],
                when,
                text.embeddings,
                added_cond_kwargs={"text_embeds": text.pooled, "time_ids": torch.tensor([ids[i]])},
            ).sample[0]
            wanted = (said - image.noise[j]).square().mean()
            assert float(found[0, i, j]) == pytest.approx(float(wanted), rel=1e-4)


@torch.no_grad()
def test_v_prediction_is_measured_against_v(stands: dict[str, Stand]) -> None:
    """v = sqrt(a) noise - sqrt(1 - a) x (Salimans and Ho 2022)."""
    stand = stands["sd2"]
    base = stand.data.base
    assert base.prediction_type == "v_prediction"
    image = cells(stand.data, 0, 2, seed=0)
    found = measure(stand.data, stand.bank, [Subject(None)], [image], max_rows=16)
    text = base.encode_text([image.caption], [1]).embeddings
    for j, when in enumerate(image.timesteps):
        a = base.alphas_cumprod[when].float()
        noisy = a.sqrt() * image.latents[j] + (1 - a).sqrt() * image.noise[j]
        v = a.sqrt() * image.noise[j] - (1 - a).sqrt() * image.latents[j]
        said = base.unet(noisy[None], when, text).sample[0]
        assert float(found[0, 0, j]) == pytest.approx(float((said - v).square().mean()), rel=1e-4)


@torch.no_grad()
def test_the_last_timestep_of_a_zero_snr_schedule_is_noise_and_its_target_the_negative_picture(
    stands: dict[str, Stand],
) -> None:
    base = stands["sd2 zero SNR"].data.base
    a = base.alphas_cumprod[-1:]
    clean, added = torch.randn(2, 1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    assert torch.equal(noise.noised(clean, added, a), added)
    torch.testing.assert_close(noise.target(clean, added, a, base.prediction_type), -clean)


def test_a_score_card_of_sdxl_has_the_fields_of_any_other(stands: dict[str, Stand]) -> None:
    stand = stands["sdxl"]
    split = stand.data.dataset.split
    panel = Panel(split.validation, split.train[:1], tuple(PROMPTS), 2, 0, SETTINGS, 16)
    judge = Judge(stand.data, stand.bank, panel, None)
    (card, renders), _ = judge.score([Subject(0), Subject(1)])
    assert renders.shape == (2, 3, 64, 64)
    assert card.unusable is None
    assert card.validation.mean != 0
    assert len(card.validation_by_image) == len(split.validation)
