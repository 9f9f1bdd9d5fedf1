"""Packs against solo training, against PEFT, and when memory runs out or a trial blows up."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from evaluation.subject import Subject
from evaluation.validation import cells, measure
from tests.trainer.driving import equal, pack, relative_difference, state, steps, train
from tests.words import sentence_of
from trainer.bases.base_model import BaseModel
from trainer.data.dataset import Dataset
from trainer.data.encoded import Encoded
from trainer.data.order import epoch_batches
from trainer.outcome import Diverged, EpochEnd, OutOfMemory
from trainer.plan import TrainingPlan
from trainer.plans.compute import ComputePlan
from trainer.seeds import generator
from trainer.training import noise
from trainer.training.batch import gather
from trainer.training.pack import Pack
from trainer.trouble import Trouble

Bases = Callable[..., BaseModel]
Encode = Callable[[Dataset, BaseModel], Encoded]
Plans = Callable[..., TrainingPlan]

MIXED: dict[int, dict[str, Any]] = {
    1: {"rank": 3, "alpha_over_rank": 0.3, "epochs": 99, "warmup_share": 0.1, "schedule": "cosine"},
    2: {
        "optimiser": "lion",
        "rank": 8,
        "alpha_over_rank": 1.0,
        "batch_size": 2,
        "text_encoder": True,
        "noise_offset": 0.1,
        "epochs": 99,
    },
    3: {
        "optimiser": "prodigy",
        "rank": 1,
        "batch_size": 3,
        "min_snr_gamma": 5.0,
        "epochs": 99,
    },
    4: {
        "rank": 5,
        "unet_lr": 3e-3,
        "batch_size": 2,
        "shuffle_caption": True,
        "keep_tokens": 1,
        "clip_skip": 2,
        "epochs": 99,
    },
}


def mixed(make_plan: Plans, **changes: Any) -> dict[int, TrainingPlan]:
    plans = {}
    for trial, fields in MIXED.items():
        fields = {("offset" if name == "noise_offset" else name): value for name, value in fields.items()}
        plans[trial] = make_plan(**{**fields, **changes.get(f"trial{trial}", {})})
    return plans


def pack_with_traffic(
    data: Encoded, plans: dict[int, TrainingPlan], makes: Plans, ragged: bool = False
) -> Pack:
    """50 steps: an early neighbour leaves after 20 and a late one of a larger rank comes after 30."""
    training = pack(data, 6)
    training.bank.ragged = ragged
    training.admit(100, makes(rank=4, unet_lr=0.01, epochs=99))
    for trial, plan in plans.items():
        training.admit(trial, plan)
    steps(training, 20)
    training.evict(100)
    steps(training, 10)
    training.admit(101, makes(rank=16, batch_size=4, epochs=99))
    steps(training, 20)
    return training


@pytest.mark.parametrize("ragged", [False, True], ids=["even", "ragged"])
def test_packed_trials_equal_the_same_trials_alone(
    tiny_base: Bases, few_dataset: Dataset, encode: Encode, make_plan: Plans, ragged: bool
) -> None:
    plans = mixed(make_plan)
    training = pack_with_traffic(encode(few_dataset, tiny_base(torch.float64)), plans, make_plan, ragged)
    for trial, plan in plans.items():
        alone = train(encode(few_dataset, tiny_base(torch.float64)), plan, 50)
        assert relative_difference(state(training, trial), alone) < 1e-8


def test_packed_trials_score_like_the_same_trials_alone_in_float32(
    tiny_base: Bases, few_dataset: Dataset, encode: Encode, make_plan: Plans
) -> None:
    plans = mixed(make_plan, trial1={"optimiser": "adamw8bit", "rank": 64})
    data = encode(few_dataset, tiny_base())
    packed = pack_with_traffic(data, plans, make_plan)
    together = [score(packed, trial, plan) for trial, plan in plans.items()]
    for (trial, plan), found in zip(plans.items(), together, strict=True):
        alone = pack(encode(few_dataset, tiny_base()), 1)
        alone.admit(trial, plan)
        steps(alone, 50)
        assert found == pytest.approx(score(alone, trial, plan), abs=1e-3)


def score(training: Pack, trial: int, plan: TrainingPlan) -> float:
    """Mean log ratio to the base on the validation images."""
    grid = [cells(training.data, i, 4, seed=0) for i in training.data.dataset.split.validation]
    skip = plan.base.clip_skip
    subjects = [Subject(training.runs[trial].slot, skip), Subject(None, skip)]
    tuned, base = measure(training.data, training.bank, subjects, grid, max_rows=32)
    return float((tuned / base).log().mean())


@pytest.mark.parametrize(
    "fields",
    [{}, {"text_encoder": True}, {"offset": 0.2, "min_snr_gamma": 5.0}],
    ids=["unet", "unet and text encoder", "noise offset and min-SNR"],
)
def test_one_slot_equals_peft_in_a_plain_loop(
    tiny_base: Bases, few_dataset: Dataset, encode: Encode, make_plan: Plans, fields: dict[str, Any]
) -> None:
    plan = make_plan(rank=3, alpha_over_rank=0.7, batch_size=2, epochs=9, max_grad_norm=0.05, **fields)
    data = encode(few_dataset, tiny_base(torch.float64))
    training = pack(data, 2)
    training.admit(0, plan)
    expected = peft_loop(tiny_base(torch.float64), data, plan, state(training, 0), 21)
    steps(training, 21)
    assert any(name.endswith("proj_in.down") for name in expected)
    assert relative_difference(state(training, 0), expected) < 1e-8


def peft_loop(
    base: BaseModel,
    data: Encoded,
    plan: TrainingPlan,
    start: dict[str, Tensor],
    count: int,
    inject: Callable[..., dict[str, torch.nn.Parameter]] | None = None,
) -> dict[str, Tensor]:
    """Textbook LoRA training with PEFT, diffusers' scheduler, AdamW and clip_grad_norm_."""
    from diffusers import DDPMScheduler

    scheduler = DDPMScheduler.from_config(base.schedule_config)
    scheduler.alphas_cumprod = scheduler.alphas_cumprod.double()
    models = {"unet": base.unet}
    if plan.lora.text_encoder:
        models["text_encoder"] = base.text_encoder
    factors = {
        name: value
        for part, model in models.items()
        for name, value in (inject or with_peft)(part, model, plan, start).items()
    }
    rates = {"unet": plan.optimiser.unet_lr, "text_encoder": plan.optimiser.unet_lr / 2}
    groups = [
        {"params": [value for name, value in factors.items() if name.startswith(part)], "lr": rates[part]}
        for part in models
    ]
    optimiser = torch.optim.AdamW(groups, weight_decay=0.01)
    dataset = data.dataset
    epochs = (epoch_batches(dataset.deck, dataset.sizes, epoch, None, 2, plan.seed) for epoch in range(99))
    batches = [batch for epoch in epochs for batch in epoch][:count]
    for batch in batches:
        clean = torch.stack([data.latents(i) for i in batch.examples]).to(base.dtype)
        draws = [noise.draw(plan.seed, p, tuple(clean.shape[1:]), 1000) for p in batch.presentations]
        added = torch.stack(
            [draw.noise.double() + plan.noise.offset * draw.offset.double() for draw in draws]
        )
        when = torch.tensor([draw.timestep for draw in draws])
        tokens = base.tokenizer(
            [dataset.examples[i].caption for i in batch.examples],
            padding="max_length",
            max_length=77,
            return_tensors="pt",
        )
        text = base.text_encoder(tokens.input_ids).last_hidden_state
        added = added.to(base.dtype)
        said = base.unet(scheduler.add_noise(clean, added, when), when, text).sample
        optimiser.zero_grad()
        loss = torch.nn.functional.mse_loss(said, added, reduction="none").mean(dim=(1, 2, 3))
        if plan.noise.min_snr_gamma:
            kept = scheduler.alphas_cumprod[when]
            snr = kept / (1 - kept)
            loss = loss * snr.clamp(max=plan.noise.min_snr_gamma) / snr
        loss.mean().backward()
        torch.nn.utils.clip_grad_norm_(list(factors.values()), plan.optimiser.max_grad_norm)
        optimiser.step()
    return {name: value.detach().view(start[name].shape) for name, value in factors.items()}


def with_peft(
    part: str, model: Any, plan: TrainingPlan, start: dict[str, Tensor]
) -> dict[str, torch.nn.Parameter]:
    """PEFT's LoRA on the layers of ``start``, with its values; the parameters under the bank's names."""
    from peft import LoraConfig, inject_adapter_in_model

    layers = sorted(
        {name.rpartition(".")[0].removeprefix(f"{part}.") for name in start if name.startswith(f"{part}.")}
    )
    ranks = {layer: len(start[f"{part}.{layer}.down"]) for layer in layers}
    conv = [layer for layer in layers if model.get_submodule(layer).weight.shape[2:] == (3, 3)]
    shares = dict.fromkeys(layers, plan.lora.alpha_over_rank)
    shares |= dict.fromkeys(conv, plan.lora.conv_alpha_over_rank)
    config = LoraConfig(
        target_modules=layers,
        rank_pattern=ranks,
        alpha_pattern={layer: share * ranks[layer] for layer, share in shares.items()},
    )
    inject_adapter_in_model(config, model)
    factors = {}
    for layer in layers:
        module = model.get_submodule(layer)
        for factor, holder in (("down", module.lora_A), ("up", module.lora_B)):
            weight = holder["default"].weight
            weight.data = (
                start[f"{part}.{layer}.{factor}"].reshape(weight.shape).to(weight.device, torch.float64)
            )
            factors[f"{part}.{layer}.{factor}"] = weight
    return factors


def test_trials_of_different_batch_size_and_repeats_meet_the_same_images_and_noise(
    tiny_base: Bases, few_dataset: Dataset, encode: Encode, make_plan: Plans
) -> None:
    seen: dict[int, list[tuple[int, Any]]] = {}
    training = pack(encode(few_dataset, tiny_base()))
    plans = [make_plan(rank=1, batch_size=1, epochs=12), make_plan(rank=2, batch_size=3, repeats=4)]
    for trial, plan in enumerate(plans):
        training.admit(trial, plan)
    for _ in range(40):
        runs = list(training.runs.values())
        batch = gather(runs, training.data, training.bank.dtype)
        for index, owner in enumerate(batch.owner):
            fact = (batch.shown[index], int(batch.timesteps[index]), batch.noise[index], batch.inputs[index])
            seen.setdefault(batch.presentations[index], []).append((runs[owner].trial, fact))
        training.step()
    shared = [facts for facts in seen.values() if len(facts) == 2]
    assert len(shared) == 40
    for (_, first), (_, second) in shared:
        assert first[:2] == second[:2]
        assert torch.equal(first[2], second[2])
        assert torch.equal(first[3], second[3])


def test_a_trial_meets_every_training_image_once_before_any_twice(
    few_dataset: Dataset,
) -> None:
    batches = epoch_batches(few_dataset.deck, few_dataset.sizes, 0, None, 1, seed=0)
    assert sorted(i for batch in batches for i in batch.examples) == list(few_dataset.split.train)


def test_an_epoch_end_tells_images_steps_and_the_mean_loss(
    tiny_base: Bases, few_dataset: Dataset, encode: Encode, make_plan: Plans, monkeypatch: pytest.MonkeyPatch
) -> None:
    training = pack(encode(few_dataset, tiny_base()))
    run = training.admit(7, make_plan(batch_size=2, epochs=2))
    heard: list[tuple[float, int]] = []
    note = run.note
    monkeypatch.setattr(
        run, "note", lambda error, images: (heard.append((error, images)), note(error, images))
    )
    images = len(few_dataset.split.train)
    count = math.ceil(images / 2)
    events = steps(training, 2 * count)
    mean = sum(error * n for error, n in heard[:count]) / images
    assert events == [
        EpochEnd(7, 1, images, count, pytest.approx(mean), False),  # type: ignore[arg-type]
        EpochEnd(7, 2, 2 * images, 2 * count, events[1].training_loss, True),  # type: ignore[union-attr]
    ]


def fail_once(unet: Any, monkeypatch: pytest.MonkeyPatch, at_call: int) -> None:
    forward, calls = unet.forward, iter(range(10**6))

    def failing(*args: Any, **kwargs: Any) -> Any:
        if next(calls) == at_call:
            raise torch.OutOfMemoryError("pretended")
        return forward(*args, **kwargs)

    monkeypatch.setattr(unet, "forward", failing)


def test_out_of_memory_puts_out_the_newest_trial_and_spares_the_others(
    tiny_base: Bases, few_dataset: Dataset, encode: Encode, make_plan: Plans, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = tiny_base(torch.float64)
    training = pack(encode(few_dataset, base), 4)
    plans = {trial: make_plan(rank=trial, epochs=9) for trial in (2, 3, 4)}
    for trial, plan in plans.items():
        training.admit(trial, plan)
    fail_once(base.unet, monkeypatch, at_call=3)
    events = steps(training, 9)
    assert [event for event in events if not isinstance(event, EpochEnd)] == [OutOfMemory(4)]
    assert list(training.runs) == [2, 3]
    assert training.limit == 2
    assert not training.has_room
    for trial in (2, 3):
        alone = train(encode(few_dataset, tiny_base(torch.float64)), plans[trial], 8)
        assert relative_difference(state(training, trial), alone) < 1e-8


def test_out_of_memory_in_the_backward_pass_leaves_no_trace(
    tiny_base: Bases, few_dataset: Dataset, encode: Encode, make_plan: Plans, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = tiny_base(torch.float64)
    training = pack(encode(few_dataset, base), 2)
    plans = {trial: make_plan(rank=2 + trial, epochs=9) for trial in (0, 1)}
    for trial, plan in plans.items():
        training.admit(trial, plan)
    attempt, calls = torch.autograd.backward, iter(range(100))

    def failing(*tensors: Any) -> None:
        attempt(*tensors)
        if next(calls) == 2:
            raise torch.OutOfMemoryError("pretended")

    monkeypatch.setattr(torch.autograd, "backward", failing)
    assert OutOfMemory(1) in steps(training, 5)
    alone = train(encode(few_dataset, tiny_base(torch.float64)), plans[0], 4)
    assert relative_difference(state(training, 0), alone) < 1e-8


def test_a_trial_whose_optimiser_finds_no_memory_waits_and_spares_the_others(
    tiny_base: Bases, few_dataset: Dataset, encode: Encode, make_plan: Plans, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = tiny_base(torch.float64)
    training = pack(encode(few_dataset, base), 3)
    plans = {trial: make_plan(rank=2 + trial, epochs=9) for trial in (0, 1)}
    for trial, plan in plans.items():
        training.admit(trial, plan)

    def failing() -> None:
        raise torch.OutOfMemoryError("pretended")

    monkeypatch.setattr(training.runs[0].stepper, "step", failing)
    assert training.step() == [OutOfMemory(0)]
    assert list(training.runs) == [1]
    assert training.limit == 1
    assert not any(isinstance(event, OutOfMemory) for event in steps(training, 4))
    alone = train(encode(few_dataset, tiny_base(torch.float64)), plans[1], 5)
    assert relative_difference(state(training, 1), alone) < 1e-8


def test_a_single_trial_that_does_not_fit_is_an_error(
    tiny_base: Bases, few_dataset: Dataset, encode: Encode, make_plan: Plans, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = tiny_base()
    training = pack(encode(few_dataset, base), 4)
    training.admit(0, make_plan())
    fail_once(base.unet, monkeypatch, at_call=0)
    with pytest.raises(torch.OutOfMemoryError, match="pretended"):
        training.step()


def test_a_trial_that_blows_up_ends_with_a_reason_and_spares_its_neighbours(
    tiny_base: Bases, few_dataset: Dataset, encode: Encode, make_plan: Plans
) -> None:
    """Without its last normalisation the random U-Net can answer with anything, as a trained one can."""

    def base() -> BaseModel:
        made = tiny_base(torch.float64)
        made.unet.conv_norm_out = torch.nn.Identity()
        return made

    good = make_plan(rank=4, epochs=99)
    training = pack(encode(few_dataset, base()), 2)
    training.admit(0, good)
    training.admit(1, make_plan(rank=4, unet_lr=1.0, alpha_over_rank=1, max_grad_norm=0, epochs=99))
    events, taken = [], 0
    while not any(isinstance(event, Diverged) for event in events) and taken < 60:
        events += training.step()
        taken += 1
    (end,) = [event for event in events if isinstance(event, Diverged)]
    assert end.trial == 1
    assert 0 < end.images_seen <= taken
    assert "the loss" in sentence_of(end.trouble) or "the gradient" in sentence_of(end.trouble)
    assert list(training.runs) == [0]
    assert training.has_room
    alone = train(encode(few_dataset, base()), good, taken)
    assert relative_difference(state(training, 0), alone) < 1e-8
    training.admit(2, good)
    steps(training, 3)
    again = train(encode(few_dataset, base()), good, 3)
    assert relative_difference(state(training, 2), again) < 1e-8


def test_infinite_gradients_are_a_divergence(
    tiny_base: Bases, few_dataset: Dataset, encode: Encode, make_plan: Plans, monkeypatch: pytest.MonkeyPatch
) -> None:
    training = pack(encode(few_dataset, tiny_base()), 2)
    run = training.admit(0, make_plan())
    attempt = training._forward_backward

    def poisoned(runs: Any) -> Tensor:
        errors: Tensor = attempt(runs)
        training.bank.gradients(run.slot)[0] = math.inf
        return errors

    monkeypatch.setattr(training, "_forward_backward", poisoned)
    assert training.step() == [Diverged(0, 1, Trouble("gradient_not_finite", {"value": "inf", "images": 1}))]


def test_losses_that_are_read_late_are_the_same_losses(
    tiny_base: Bases, few_dataset: Dataset, encode: Encode, make_plan: Plans, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a GPU: every 8 steps, and whenever an epoch ends."""
    ends, lost = [], []
    for every in (1, 8):
        training = pack(encode(few_dataset, tiny_base()), 3)
        training._read_every = every
        training.admit(0, make_plan(rank=2, epochs=3))
        training.admit(1, make_plan(rank=4, batch_size=2, epochs=9))
        bad = training.admit(2, make_plan(rank=2, epochs=99, repeats=99))
        steps(training, 2)
        training.bank.parameters(bad.slot, "unet")[0].data.fill_(math.nan)
        events = steps(training, 12)
        ends.append([event for event in events if isinstance(event, EpochEnd)])
        (end,) = [event for event in events if isinstance(event, Diverged)]
        lost.append(end.images_seen)
        assert list(training.runs) == [0, 1]
    assert ends[0] == ends[1] != []
    assert lost[0] == 3 <= lost[1] <= 3 + 8


def test_whether_a_trial_diverged_does_not_depend_on_when_its_loss_is_read(
    tiny_base: Bases, few_dataset: Dataset, encode: Encode, make_plan: Plans, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bad first batch is forgiven: the loss is judged from 24 images on."""
    for every in (1, 8):
        training = pack(encode(few_dataset, tiny_base()), 1)
        training._read_every = every
        training.admit(0, make_plan(rank=2, batch_size=4, epochs=9, repeats=40))
        errors = iter([1.6, *[0.2] * 7])
        attempt = training._forward_backward
        monkeypatch.setattr(
            training, "_forward_backward", lambda runs, at=attempt, e=errors: at(runs) * 0 + next(e)
        )
        assert steps(training, 8) == []


def test_memory_that_runs_out_before_a_divergence_was_read_puts_out_no_healthy_trial(
    tiny_base: Bases, few_dataset: Dataset, encode: Encode, make_plan: Plans, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = tiny_base()
    training = pack(encode(few_dataset, base), 2)
    training._read_every = 8
    bad = training.admit(0, make_plan(rank=2, epochs=9, repeats=40))
    training.admit(1, make_plan(rank=2, epochs=9, repeats=40))
    training.bank.parameters(bad.slot, "unet")[0].data.fill_(math.nan)
    assert steps(training, 1) == []
    fail_once(base.unet, monkeypatch, at_call=0)
    (end,) = training.step()
    assert isinstance(end, Diverged) and end.trial == 0
    assert list(training.runs) == [1]
    assert (training.limit, steps(training, 2)) == (2, [])


def test_a_strong_noise_offset_is_no_divergence(
    tiny_base: Bases, few_dataset: Dataset, encode: Encode, make_plan: Plans
) -> None:
    training = pack(encode(few_dataset, tiny_base()), 1)
    training.admit(0, make_plan(offset=1.0, unet_lr=1e-6, epochs=99))
    assert all(isinstance(event, EpochEnd) for event in steps(training, 40))


@pytest.mark.parametrize("dora", [False, True])
def test_gradient_checkpointing_changes_no_gradient(
    tiny_base: Bases, few_dataset: Dataset, encode: Encode, make_plan: Plans, dora: bool
) -> None:
    found = []
    for checkpointing in (False, True):
        plan = make_plan(rank=4, text_encoder=True, dora=dora, gradient_checkpointing=checkpointing)
        base = tiny_base(torch.float64)
        training = Pack(base, encode(few_dataset, base), 1, plan.compute)
        training.admit(0, plan)
        steps(training, 3)
        assert base.unet.is_gradient_checkpointing is checkpointing
        found.append(state(training, 0))
    assert relative_difference(found[1], found[0]) < 1e-9


def test_text_is_read_again_under_the_rows_of_those_who_train_it(
    tiny_base: Bases, few_dataset: Dataset, encode: Encode, make_plan: Plans
) -> None:
    """Their own rows are fewer and elsewhere than the U-Net's, which the backward pass runs under."""
    found = []
    for checkpointing in (False, True):
        data = encode(few_dataset, tiny_base(torch.float64))
        training = pack(data, 4, gradient_checkpointing=checkpointing)
        for trial, (rank, text) in enumerate(((2, False), (4, True), (8, False), (2, True))):
            training.admit(trial, make_plan(rank=rank, text_encoder=text, epochs=9))
        steps(training, 3)
        found.append([state(training, trial) for trial in range(4)])
    for plain, again in zip(*found, strict=True):
        assert relative_difference(again, plain) < 1e-9


def test_training_in_bfloat16_lowers_the_loss_like_float32(
    tiny_base: Bases, few_dataset: Dataset, encode: Encode, make_plan: Plans
) -> None:
    found = []
    for precision, dtype in (("no", torch.float32), ("bf16", torch.bfloat16)):
        training = pack(encode(few_dataset, tiny_base(dtype)), 1, mixed_precision=precision)
        plan = make_plan(rank=8, unet_lr=3e-3, mixed_precision=precision, repeats=8, batch_size=4, epochs=3)
        training.admit(0, plan)
        events = steps(training, plan.data.epochs * 10)
        found.append([event.training_loss for event in events if isinstance(event, EpochEnd)])
        assert {value.dtype for value in state(training, 0).values()} == {torch.float32}
    full, half = found
    assert len(half) == 3
    assert half[-1] < half[0]
    assert half == pytest.approx(full, abs=0.01)


def test_gradients_of_other_image_sizes_do_not_meet(
    tiny_base: Bases, few_dataset: Dataset, encode: Encode, make_plan: Plans
) -> None:
    """With buckets, each run keeps its own order while the pack picks the commonest size."""
    wide = tuple((96, 48) if i % 2 else (64, 64) for i in range(len(few_dataset.examples)))
    bucketed = replace(few_dataset, sizes=wide)
    plans = {0: make_plan(rank=2, epochs=2), 1: make_plan(rank=3, batch_size=2, epochs=3)}
    base = tiny_base(torch.float64)
    training = pack(encode(bucketed, base), 2)
    for trial, plan in plans.items():
        training.admit(trial, plan)
    ended: dict[int, dict[str, Tensor]] = {}
    counts: dict[int, int] = {}
    for _ in range(60):
        for event in training.step():
            if isinstance(event, EpochEnd) and event.last:
                ended[event.trial], counts[event.trial] = state(training, event.trial), event.steps
                training.evict(event.trial)
        if not training.runs:
            break
    for trial, plan in plans.items():
        alone = train(encode(bucketed, tiny_base(torch.float64)), plan, counts[trial])
        assert relative_difference(ended[trial], alone) < 1e-8


def test_admitting_again_repeats_the_trial_exactly(
    tiny_base: Bases, few_dataset: Dataset, encode: Encode, make_plan: Plans
) -> None:
    plan = make_plan(rank=4, epochs=9)
    training = pack(encode(few_dataset, tiny_base()), 3)
    training.admit(0, plan)
    steps(training, 8)
    first = copy.deepcopy(state(training, 0))
    training.evict(0)
    torch.manual_seed(123)
    training.admit(1, plan)
    steps(training, 8)
    assert equal(state(training, 1), first)


def test_another_seed_is_another_trial(
    tiny_base: Bases, few_dataset: Dataset, encode: Encode, make_plan: Plans
) -> None:
    first = train(encode(few_dataset, tiny_base()), make_plan(seed=1), 2)
    second = train(encode(few_dataset, tiny_base()), make_plan(seed=2), 2)
    assert not any(torch.equal(first[name], second[name]) for name in first if name.endswith("down"))
    assert generator(1, "x").initial_seed() != generator(2, "x").initial_seed()


@pytest.mark.gpu
@pytest.mark.parametrize(
    ("precision", "optimiser"), [("bf16", "adamw8bit"), ("fp16", "adamw"), ("fp16", "lion")]
)
def test_packs_train_in_half_precision_on_cuda(
    assets: Any, few_dataset: Dataset, encode: Encode, make_plan: Plans, precision: str, optimiser: str
) -> None:
    from trainer.bases import base_model

    base = base_model.load(assets / "micro-sd", precision, torch.device("cuda"))  # type: ignore[arg-type]
    training = Pack(base, encode(few_dataset, base), 2, ComputePlan(mixed_precision=precision))  # type: ignore[arg-type]
    plans = [
        make_plan(rank=8, mixed_precision=precision, optimiser=optimiser, epochs=99),
        make_plan(rank=16, mixed_precision=precision, text_encoder=True, batch_size=2, epochs=99),
    ]
    for trial, plan in enumerate(plans):
        training.admit(trial, plan)
    before = [state(training, trial) for trial in range(2)]
    events = steps(training, 30)
    assert not [event for event in events if isinstance(event, Diverged)]
    for trial in range(2):
        after = state(training, trial)
        assert all(value.isfinite().all() for value in after.values())
        assert relative_difference(after, before[trial]) > 0
