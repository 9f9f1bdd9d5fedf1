"""Validation loss against a plain loop over cells."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from diffusers import DDPMScheduler

from evaluation.validation import cells, measure
from tests.evaluation.conftest import SUBJECTS, Stand
from trainer.bases.base_model import BaseModel
from trainer.data.dataset import Dataset
from trainer.data.encoded import Encoded


def test_a_pack_of_subjects_is_measured_as_each_alone(stand: Stand) -> None:
    grid = [cells(stand.data, i, 5, seed=3) for i in stand.data.dataset.split.validation]
    together = measure(stand.data, stand.bank, SUBJECTS, grid, max_rows=12)
    assert together.shape == (4, len(grid), 5)
    assert together.dtype == torch.float64
    for i, subject in enumerate(SUBJECTS):
        alone = measure(stand.data, stand.bank, [subject], grid, max_rows=99)
        torch.testing.assert_close(together[i : i + 1], alone, rtol=1e-4, atol=1e-6)


@torch.no_grad()
def test_errors_are_those_of_a_plain_loop(stand: Stand) -> None:
    base = stand.data.base
    scheduler = DDPMScheduler.from_config(base.schedule_config)
    example = stand.data.dataset.split.validation[0]
    image = cells(stand.data, example, 4, seed=0)
    found = measure(stand.data, stand.bank, SUBJECTS, [image], max_rows=16)
    caption = stand.data.dataset.examples[example].caption
    tokens = base.tokenizer([caption], padding="max_length", max_length=77, return_tensors="pt").input_ids
    for i, subject in enumerate(SUBJECTS):
        with stand.bank.rows([subject.slot]):
            states = base.text_encoder(tokens, output_hidden_states=True).hidden_states
            text = base.text_encoder.final_layer_norm(states[-subject.clip_skip])
            for j, when in enumerate(image.timesteps):
                noisy = scheduler.add_noise(image.latents[j : j + 1], image.noise[j : j + 1], when[None])
                said = base.unet(noisy, when, text).sample
                wanted = torch.nn.functional.mse_loss(said, image.noise[j : j + 1])
                assert float(found[i, 0, j]) == pytest.approx(float(wanted), rel=1e-4)


@pytest.mark.parametrize("count", [1, 4, 7, 10, 100])
def test_timesteps_lie_one_in_each_stratum(stand: Stand, count: int) -> None:
    for seed in range(20):
        when = cells(stand.data, 0, count, seed).timesteps
        for stratum, timestep in enumerate(when.tolist()):
            assert int(stratum * 1000 / count) <= timestep < (stratum + 1) * 1000 / count


def test_the_last_timestep_is_never_passed(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    """The largest float32 below 1, added to 9, rounds to 10."""
    monkeypatch.setattr(torch, "rand", lambda *shape, generator: torch.full(shape, 1 - 2**-24))
    assert cells(stand.data, 0, 10, 0).timesteps.max() == 999


def test_noise_depends_on_content_and_seed_alone(
    stand: Stand, tiny_base: Callable[..., BaseModel], encode: Callable[[Dataset, BaseModel], Encoded]
) -> None:
    dataset = stand.data.dataset
    moved = replace(
        dataset,
        examples=tuple(
            replace(example, path=example.path.with_name("other"), caption="x")
            for example in dataset.examples[::-1]
        ),
    )
    encoded = encode(moved, tiny_base())
    last = len(dataset.examples) - 1
    torch.manual_seed(7)
    first, again = cells(stand.data, 2, 6, seed=1), cells(encoded, last - 2, 6, seed=1)
    assert torch.equal(first.noise, again.noise)
    assert torch.equal(first.timesteps, again.timesteps)
    for other in (cells(stand.data, 3, 6, seed=1), cells(stand.data, 2, 6, seed=2)):
        assert not torch.equal(first.noise, other.noise)
        assert not torch.equal(first.timesteps, other.timesteps)


def test_each_timestep_has_its_own_noise(stand: Stand) -> None:
    noise = cells(stand.data, 0, 3, seed=0).noise
    assert not torch.equal(noise[0], noise[1])


def test_images_of_different_sizes_are_measured_together_in_their_order(
    stand: Stand, encode: Callable[[Dataset, BaseModel], Encoded]
) -> None:
    sizes = tuple((96, 48) if i % 2 else (64, 64) for i in range(len(stand.data.dataset.examples)))
    data = encode(replace(stand.data.dataset, sizes=sizes), stand.data.base)
    grid = [cells(data, i, 2, seed=0) for i in (0, 1, 2, 3)]
    together = measure(data, stand.bank, SUBJECTS, grid, max_rows=16)
    for i, image in enumerate(grid):
        alone = measure(data, stand.bank, SUBJECTS, [image], max_rows=16)
        torch.testing.assert_close(together[:, i : i + 1], alone, rtol=1e-4, atol=1e-6)
