"""SDXL in the pack, against diffusers' pipeline and a plain PEFT loop."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor

from tests.trainer.driving import equal, pack, relative_difference, state, steps, train
from tests.trainer.training.test_pack import with_peft
from trainer.adapters.wrapping import bank_for
from trainer.bases import base_model
from trainer.bases.base_model import BaseModel, BaseModelError
from trainer.bases.conditioning import Framing
from trainer.data.dataset import Dataset
from trainer.data.encoded import Encoded
from trainer.data.order import epoch_batches
from trainer.plan import TrainingPlan
from trainer.training import noise

Load = Callable[..., BaseModel]
Encode = Callable[[Dataset, BaseModel], Encoded]
Plans = Callable[..., TrainingPlan]
CAPTIONS = ["a red heart", "a drum, blue"]


@pytest.fixture(scope="module")
def bare(load_base: Load, micro_sdxl: Path) -> BaseModel:
    """Not to be wrapped."""
    return load_base(micro_sdxl)


@pytest.fixture(scope="module")
def pipe(micro_sdxl: Path) -> Any:
    from diffusers import StableDiffusionXLPipeline

    return StableDiffusionXLPipeline.from_pretrained(micro_sdxl, add_watermarker=False)


@torch.no_grad()
def test_text_is_what_the_diffusers_pipeline_encodes(bare: BaseModel, pipe: Any) -> None:
    found = bare.encode_text(CAPTIONS, [1, 1])
    wanted, _, pooled, _ = pipe.encode_prompt(CAPTIONS, do_classifier_free_guidance=False)
    assert found.embeddings.shape == (2, 77, 40)
    torch.testing.assert_close(found.embeddings, wanted)
    torch.testing.assert_close(found.pooled, pooled)


def test_sizes_are_told_in_the_order_of_diffusers(bare: BaseModel, pipe: Any) -> None:
    wanted = pipe._get_add_time_ids(
        (700, 500), (13, 0), (64, 48), torch.float32, text_encoder_projection_dim=20
    )
    found = bare.numbers([Framing(original=(500, 700), crop=(0, 13), target=(48, 64))], [1.0])
    assert found is not None and torch.equal(found, wanted)


@torch.no_grad()
def test_a_prediction_is_that_of_the_unet_with_text_pooled_and_sizes(bare: BaseModel) -> None:
    text = bare.encode_text(CAPTIONS, [1, 1])
    inputs = torch.randn(2, 4, 16, 16, generator=torch.Generator().manual_seed(0))
    ids = bare.numbers([Framing.whole((64, 64)), Framing((99, 70), (3, 0), (64, 64))], [1.0] * 2)
    when = torch.tensor([10, 900])
    wanted = bare.unet(
        inputs, when, text.embeddings, added_cond_kwargs={"text_embeds": text.pooled, "time_ids": ids}
    ).sample
    found = bare.predict(inputs, when, text, ids)
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-5)
    other = bare.predict(inputs, when, text, bare.numbers([Framing.whole((64, 64))] * 2, [1.0] * 2))
    assert torch.equal(other[0], found[0])
    assert not torch.allclose(other[1], found[1], atol=1e-4)


def test_a_picture_is_framed_as_it_is_cut(
    few_dataset: Dataset, bare: BaseModel, encode: Encode, tmp_path: Path
) -> None:
    from trainer.data.buckets import crop_corner, fit

    picture = Image.new("RGB", (300, 200))
    picture.putpixel((80, 60), (255, 255, 255))
    assert crop_corner((300, 200), (100, 200)) == (100, 0)
    assert crop_corner((300, 200), (64, 64)) == (16, 0)
    assert crop_corner((100, 300), (64, 64)) == (0, 64)
    assert fit(picture, (64, 64)).size == (64, 64)
    framing = encode(few_dataset, bare).framing(0)
    assert framing == Framing(few_dataset.examples[0].size, (0, 0), (64, 64))
    assert framing.time_ids == (96, 96, 0, 0, 64, 64)


MIXED: dict[int, dict[str, Any]] = {
    1: {"rank": 3, "alpha_over_rank": 0.3},
    2: {"rank": 8, "alpha_over_rank": 1.0, "batch_size": 2, "text_encoder": True, "optimiser": "lion"},
    3: {
        "rank": 2,
        "text_encoder": True,
        "text_lr_over_unet_lr": 0.3,
        "text2_lr_over_unet_lr": 2.0,
        "shuffle_caption": True,
        "min_snr_gamma": 5.0,
    },
    4: {"rank": 4, "unet": False, "text_encoder": True, "batch_size": 3},
}


def test_packed_trials_equal_the_same_trials_alone(
    load_base: Load, micro_sdxl: Path, few_dataset: Dataset, encode: Encode, make_plan: Plans
) -> None:
    plans = {trial: make_plan(epochs=99, **fields) for trial, fields in MIXED.items()}
    training = pack(encode(few_dataset, load_base(micro_sdxl, torch.float64)), 5)
    training.admit(100, make_plan(rank=4, unet_lr=0.01, epochs=99))
    for trial, plan in plans.items():
        training.admit(trial, plan)
    steps(training, 3)
    training.evict(100)
    steps(training, 5)
    for trial, plan in plans.items():
        alone = train(encode(few_dataset, load_base(micro_sdxl, torch.float64)), plan, 8)
        assert relative_difference(state(training, trial), alone) < 1e-8


def test_one_slot_equals_peft_in_a_plain_loop(
    load_base: Load, micro_sdxl: Path, few_dataset: Dataset, encode: Encode, make_plan: Plans
) -> None:
    plan = make_plan(
        rank=3,
        alpha_over_rank=0.7,
        batch_size=2,
        epochs=9,
        text_encoder=True,
        text_lr_over_unet_lr=0.5,
        text2_lr_over_unet_lr=0.25,
        weight_decay=0.0,
        max_grad_norm=0.05,
    )
    data = encode(few_dataset, load_base(micro_sdxl, torch.float64))
    training = pack(data, 2)
    training.admit(0, plan)
    expected = peft_loop(load_base(micro_sdxl, torch.float64), data, plan, state(training, 0), 6)
    steps(training, 6)
    assert any(name.startswith("text_encoder_2.") for name in expected)
    assert relative_difference(state(training, 0), expected) < 1e-8


def peft_loop(
    base: BaseModel, data: Encoded, plan: TrainingPlan, start: dict[str, Tensor], count: int
) -> dict[str, Tensor]:
    """Textbook SDXL LoRA training: encoders called by hand, PEFT, AdamW and clip_grad_norm_."""
    scale = {"unet": 1.0, "text_encoder": 0.5, "text_encoder_2": 0.25}
    models: dict[str, Any] = {"unet": base.unet, **base.text_encoders}
    factors = {part: with_peft(part, model, plan, start) for part, model in models.items()}
    everything = {name: value for found in factors.values() for name, value in found.items()}
    groups = [
        {"params": list(found.values()), "lr": plan.optimiser.unet_lr * scale[part]}
        for part, found in factors.items()
    ]
    optimiser = torch.optim.AdamW(groups, weight_decay=0.0)
    dataset = data.dataset
    epochs = (epoch_batches(dataset.deck, dataset.sizes, epoch, None, 2, plan.seed) for epoch in range(99))
    for batch in [batch for epoch in epochs for batch in epoch][:count]:
        clean = torch.stack([data.latents(i) for i in batch.examples]).double()
        draws = [noise.draw(plan.seed, p, tuple(clean.shape[1:]), 1000) for p in batch.presentations]
        added = torch.stack([draw.noise.double() for draw in draws])
        when = torch.tensor([draw.timestep for draw in draws])
        kept = base.alphas_cumprod[when].view(-1, 1, 1, 1)
        states = []
        for tokenizer, encoder in (
            (base.tokenizer, base.text_encoder),
            (base.tokenizer_2, base.text_encoder_2),
        ):
            tokens = tokenizer(
                [dataset.examples[i].caption for i in batch.examples],
                padding="max_length",
                max_length=77,
                return_tensors="pt",
            )
            said = encoder(tokens.input_ids, output_hidden_states=True)  # type: ignore[misc]
            states.append(said.hidden_states[-2])
        ids = torch.tensor([[96.0, 96.0, 0.0, 0.0, 64.0, 64.0]] * len(clean))
        predicted = base.unet(
            kept.sqrt() * clean + (1 - kept).sqrt() * added,
            when,
            torch.cat(states, dim=-1),
            added_cond_kwargs={"text_embeds": said.text_embeds, "time_ids": ids},
        ).sample
        optimiser.zero_grad()
        torch.nn.functional.mse_loss(predicted, added).backward()
        torch.nn.utils.clip_grad_norm_(list(everything.values()), plan.optimiser.max_grad_norm)
        optimiser.step()
    return {name: value.detach().flatten(1) for name, value in everything.items()}


def test_the_first_encoders_last_layer_gets_no_gradient_and_stays_without_effect(
    load_base: Load, micro_sdxl: Path, few_dataset: Dataset, encode: Encode, make_plan: Plans
) -> None:
    found = train(
        encode(few_dataset, load_base(micro_sdxl)), make_plan(text_encoder=True, optimiser="prodigy"), 4
    )
    last = [name for name in found if name.startswith("text_encoder.encoder.layers.1.")]
    assert len(last) == 12
    assert all(not found[name].any() for name in last if name.endswith(".up"))
    assert all(
        found[name].any()
        for name in found
        if name.endswith(".up") and name not in last and "encoder.layers" in name
    )


def test_each_encoder_learns_at_its_own_rate_and_the_first_is_the_default(
    load_base: Load, micro_sdxl: Path, few_dataset: Dataset, encode: Encode, make_plan: Plans
) -> None:
    training = pack(encode(few_dataset, load_base(micro_sdxl)), 3)
    rates = []
    for trial, second in enumerate((None, 0.1)):
        plan = make_plan(
            unet_lr=1e-3, text_encoder=True, text_lr_over_unet_lr=0.5, text2_lr_over_unet_lr=second
        )
        run = training.admit(trial, plan)
        rates.append([group["lr"] for group in run.stepper.optimiser.param_groups])
    assert rates == [pytest.approx([1e-3, 5e-4, 5e-4]), pytest.approx([1e-3, 5e-4, 1e-4])]


def test_both_encoders_are_parts_of_the_bank(load_base: Load, micro_sdxl: Path) -> None:
    bank = bank_for(load_base(micro_sdxl), 1)
    counts = {
        part: sum(name.startswith(part + ".") for name in bank.layers)
        for part in ("unet", "text_encoder", "text_encoder_2")
    }
    assert counts["text_encoder"] == 2 * 6
    assert counts["text_encoder_2"] == 3 * 6
    assert counts["unet"] > 50


def test_a_resumed_trial_goes_on_as_if_it_had_not_stopped(
    load_base: Load, micro_sdxl: Path, few_dataset: Dataset, encode: Encode, make_plan: Plans, tmp_path: Path
) -> None:
    from trainer.training.checkpoints import save_state

    plan = make_plan(text_encoder=True, text2_lr_over_unet_lr=0.2, epochs=9)
    length = len(few_dataset.split.train)
    training = pack(encode(few_dataset, load_base(micro_sdxl)), 1)
    run = training.admit(0, plan)
    steps(training, length)
    save_state(tmp_path / "state.safetensors", run, training.bank)
    steps(training, 3)
    again = pack(encode(few_dataset, load_base(micro_sdxl)), 1)
    again.admit(0, plan, tmp_path / "state.safetensors")
    steps(again, 3)
    assert equal(state(again, 0), state(training, 0))


def test_clip_skip_is_refused(micro_sdxl: Path, bare: BaseModel) -> None:
    (problem,) = base_model.family(micro_sdxl).misfits(2, None)
    assert "clip_skip = 2: SDXL ignores it" in problem
    with pytest.raises(BaseModelError, match="SDXL ignores it"):
        bare.encode_text(["x"], [2])
    base_model.check(micro_sdxl)


def test_sides_must_be_multiples_of_what_vae_and_unet_halve(micro_sdxl: Path) -> None:
    assert base_model.size_step(micro_sdxl) == 16


@pytest.mark.parametrize("part", ["tokenizer_2", "text_encoder_2"])
def test_a_missing_second_part_is_named(micro_sdxl: Path, tmp_path: Path, part: str) -> None:
    import shutil

    from tests.bases import copy_of

    folder = copy_of(micro_sdxl, tmp_path / "base")
    shutil.rmtree(folder / part)
    with pytest.raises(BaseModelError, match=f"lacks the folder {part}/"):
        base_model.check(folder)
