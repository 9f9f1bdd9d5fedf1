"""Steps on tensors without bytes, held to the same steps on real ones by the same tracker."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from trainer.adapters.bank import AdapterBank
from trainer.adapters.shape import Shape
from trainer.adapters.wrapping import bank_for
from trainer.bases import find
from trainer.bases.base_model import BaseModel
from trainer.bases.conditioning import Conditioning
from trainer.bases.families import FAMILIES
from trainer.bases.find import Source
from trainer.data import dataset
from trainer.data.dataset import Dataset
from trainer.data.encoded import Encoded
from trainer.footprint.rehearsal import Rehearsal
from trainer.footprint.tracker import Tracker
from trainer.plan import TrainingPlan
from trainer.plans.base import BasePlan
from trainer.training.pack import Pack
from trainer.training.run import shape_of

Encode = Callable[[Dataset, BaseModel], Encoded]
Plans = Callable[..., TrainingPlan]
SIZE = (64, 64)
SHAPE = Shape(4, 1.0, ("unet",))
NEAR = 0.1
"""What a forecast may be off."""


def rehearsal(folder: Path, plan: TrainingPlan) -> Rehearsal:
    return Rehearsal(find.find(BasePlan(path=folder)), "no", shape_of(plan))


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"batch_size": 2, "rank": 16},
        {"gradient_checkpointing": True},
        {"text_encoder": True},
        {"gradient_checkpointing": True, "text_encoder": True, "max_token_length": 225},
        {"max_token_length": 150, "text_encoder": True},
        {"conv_rank": 4},
    ],
    ids=str,
)
@pytest.mark.parametrize("trials", [1, 3])
def test_a_step_without_bytes_needs_what_a_real_step_needs(
    assets: Path,
    fresh_base: Callable[..., BaseModel],
    encode: Encode,
    make_plan: Plans,
    values: dict[str, Any],
    trials: int,
) -> None:
    plan = make_plan(**{"rank": 4, **values})
    base = fresh_base()
    pack = Pack(base, encode(dataset.read(plan.data, (0.2, 0.2), seed=0), base), trials, plan.compute)
    real = stepped(pack, plan, trials)
    found = rehearsal(assets / "micro-sd", plan).training(
        SIZE,
        trials * plan.data.batch_size,
        plan.data.max_token_length // 75,
        plan.compute.gradient_checkpointing,
    )
    assert found == pytest.approx(real, rel=NEAR)


def stepped(pack: Pack, plan: TrainingPlan, trials: int) -> int:
    """What the second step of so many trials adds at most to what lives before it."""
    with Tracker() as tracker:
        for trial in range(trials):
            pack.admit(trial, plan)
        pack.step()  # states of optimisers are made, latents and captions encoded
        tracker.rewind()
        before = tracker.live
        pack.step()
    return tracker.peak - before


def test_sdxl_is_rehearsed_with_its_two_text_encoders(
    micro_sdxl: Path,
    load_base: Callable[..., BaseModel],
    few_dataset: Dataset,
    encode: Encode,
    make_plan: Plans,
) -> None:
    plan, base = make_plan(rank=4, path=micro_sdxl), load_base(micro_sdxl)
    real = stepped(Pack(base, encode(few_dataset, base), 2, plan.compute), plan, 2)
    assert rehearsal(micro_sdxl, plan).training(SIZE, 2) == pytest.approx(real, rel=NEAR)


@pytest.mark.parametrize("rows", [1, 4])
def test_the_judge_without_bytes_needs_what_the_real_one_needs(
    assets: Path, fresh_base: Callable[..., BaseModel], rows: int
) -> None:
    found = Rehearsal(find.find(BasePlan(path=assets / "micro-sd")), "no", SHAPE)
    base = fresh_base()
    bank = bank_for(base, 1)
    bank.open(0, SHAPE, 0)
    latents, pixels = torch.zeros(rows, 4, *(2 * [64 // base.latent_scale])), torch.zeros(rows, 3, 64, 64)
    text = Conditioning(torch.zeros(rows, 77, base.unet.config.cross_attention_dim))

    @torch.no_grad()
    def predict() -> None:
        with bank.rows([0] * rows):
            base.predict(latents, torch.zeros(rows, dtype=torch.int64), text, None)

    for forecast, work in (
        (found.predicting, predict),
        (found.encoding, lambda: base.encode_image(pixels)),
        (found.decoding, lambda: base.decode(latents)),
    ):
        assert forecast(SIZE, rows) == pytest.approx(added(base, bank, work), rel=NEAR)


def added(base: BaseModel, bank: AdapterBank, work: Callable[[], Any]) -> int:
    with Tracker() as tracker:
        for network in (base.unet, base.vae):
            tracker.adopt_network(network)
        tracker.adopt(bank.leaves(0).values())
        before = tracker.live
        work()
    return tracker.peak - before


def test_networks_are_as_large_as_loaded_ones(
    assets: Path, fresh_base: Callable[..., BaseModel], make_plan: Plans
) -> None:
    base, found = fresh_base(), rehearsal(assets / "micro-sd", make_plan()).network_bytes
    assert found == {
        part: sum(held.nbytes for held in (*network.parameters(), *network.buffers()))
        for part, network in {"unet": base.unet, "vae": base.vae, "text_encoder": base.text_encoder}.items()
    }


def test_memory_grows_with_the_rows_and_nothing_else(assets: Path, make_plan: Plans) -> None:
    here = rehearsal(assets / "micro-sd", make_plan())
    one, four = here.training(SIZE, 1), here.training(SIZE, 4)
    assert four == pytest.approx(4 * one, rel=0.01)
    assert here.training(SIZE, 4) == pytest.approx(four, abs=64)  # groups of rows are made once


def full_size(family: str) -> Source:
    return Source(FAMILIES[family], FAMILIES[family].configs, None, None, "epsilon", False)


def test_attention_of_full_size_saves_no_scores() -> None:
    sd15 = Rehearsal(full_size("sd1"), "bf16", Shape(16, 1.0, ("unet",)))
    scores = 8 * 4096 * 4096 * 2  # of one layer of the first level at 512 pixels, bf16
    assert sd15.predicting((512, 512)) < scores / 2
    assert sd15.training((512, 512)) > sd15.training((512, 512), checkpointing=True) > 0


@pytest.mark.slow
def test_a_full_size_step_without_bytes_needs_what_a_real_one_needs(
    fresh_base: Callable[..., BaseModel], few_dataset: Dataset, encode: Encode, make_plan: Plans
) -> None:
    from diffusers import UNet2DConditionModel

    source = full_size("sd1")
    config = UNet2DConditionModel.load_config(source.configs / "unet")
    with torch.random.fork_rng():
        unet: Any = UNet2DConditionModel.from_config({**config, "cross_attention_dim": 128})
    unet = unet.requires_grad_(False).eval().to(memory_format=torch.channels_last)
    base = fresh_base()
    base.unet = unet
    plan = make_plan(rank=16, optimiser="sgd_nesterov")
    real = stepped(Pack(base, encode(few_dataset, base), 2, plan.compute), plan, 2)
    latent = (
        64 // base.latent_scale * 8
    )  # the shipped autoencoder makes latents of a quarter, SD 1.5's of an eighth
    found = Rehearsal(source, "no", shape_of(plan)).training((latent, latent), 2)
    assert found == pytest.approx(real, rel=NEAR)
