"""What the recipe's fields do to whole trials: against plain PyTorch loops, and packed against alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from diffusers.training_utils import EMAModel
from torch import Tensor

from tests.trainer.driving import equal, pack, relative_difference, state, steps
from tests.trainer.training.test_noise import published_pyramid
from tests.trainer.training.test_pack import with_peft
from trainer.bases.base_model import BaseModel
from trainer.data.dataset import Dataset
from trainer.data.encoded import Encoded
from trainer.data.order import Batch, epoch_batches
from trainer.outcome import EpochEnd, OutOfMemory
from trainer.plan import TrainingPlan
from trainer.plans.optimiser_kinds import OPTIMISERS
from trainer.training import noise
from trainer.training.pack import Pack

Bases = Callable[..., BaseModel]
Encode = Callable[[Dataset, BaseModel], Encoded]
Plans = Callable[..., TrainingPlan]
SEED = 3

RECIPES: dict[str, dict[str, Any]] = {
    "accumulation": {"gradient_accumulation": 2},
    "LoRA+": {"lora_plus_ratio": 8.0, "text_encoder": True},
    "weight norm": {"max_weight_norm": 0.01, "unet_lr": 3e-3},
    "moving average": {"decay": 0.6},
    "text stop": {"text_encoder": True, "text_stop_share": 0.5},
    "staged": {"schedule": "staged", "stages": [{"epochs": 1}, {"epochs": 1, "factor": 0.1}]},
    "huber and pyramid": {
        "loss": "huber",
        "huber_c": 0.3,
        "multires_iterations": 6,
        "multires_discount": 0.6,
    },
    "smooth l1 and ip noise": {"loss": "smooth_l1", "huber_c": 0.3, "ip_gamma": 0.1},
    "debiased": {"debiased": True, "min_timestep": 100, "max_timestep": 600},
    "adaptive offset": {"offset": 0.02, "adaptive_scale": 0.1},
    "arguments": {"args": {"betas": [0.5, 0.9]}},
}


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_equals_a_plain_loop(
    tiny_base: Bases, few_dataset: Dataset, encode: Encode, make_plan: Plans, name: str
) -> None:
    """Two epochs of five images in batches of two: windows and epochs do not fit each other."""
    plan = make_plan(rank=3, batch_size=2, epochs=2, max_grad_norm=0.05, seed=SEED, **RECIPES[name])
    data = encode(few_dataset, tiny_base(torch.float64))
    training = pack(data, 2)
    training.admit(0, plan)
    loop = PlainLoop(tiny_base(torch.float64), data, plan, state(training, 0))
    expected = loop.run()
    steps(training, 6)
    assert training.runs[0].progress.steps == loop.taken == training.runs[0].total_steps
    with training.shown([0]):
        assert relative_difference(state(training, 0), expected) < 1e-8


@pytest.mark.parametrize("name", RECIPES)
def test_each_recipe_changes_the_result(
    tiny_base: Bases, few_dataset: Dataset, encode: Encode, make_plan: Plans, name: str
) -> None:
    fields = RECIPES[name]
    plain = {key: fields[key] for key in ("text_encoder", "unet_lr") if key in fields}
    training = pack(encode(few_dataset, tiny_base(torch.float64)), 2)
    for trial, chosen in enumerate((plain, fields)):
        training.admit(trial, make_plan(rank=3, batch_size=2, epochs=2, seed=SEED, **chosen))
    steps(training, 6)
    with training.shown([0, 1]):
        assert relative_difference(state(training, 1), state(training, 0)) > 1e-4


class PlainLoop:
    """PEFT, torch.optim and the published formulas, one slot alone."""

    def __init__(self, base: BaseModel, data: Encoded, plan: TrainingPlan, start: dict[str, Tensor]) -> None:
        self.base, self.data, self.plan, self.taken = base, data, plan, 0
        models = {"unet": base.unet, "text_encoder": base.text_encoder}
        self.factors = {
            name: value
            for part, model in models.items()
            if any(key.startswith(part) for key in start)
            for name, value in with_peft(part, model, plan, start).items()
        }
        own = plan.optimiser
        groups = [
            {
                "params": [value],
                "lr": own.unet_lr
                * (own.text_lr_over_unet_lr if name.startswith("text") else 1)
                * (own.lora_plus_ratio if name.endswith("up") else 1),
            }
            for name, value in self.factors.items()
        ]
        self.optimiser = torch.optim.AdamW(groups, weight_decay=0.01, **own.args)
        self.rates = [group["lr"] for group in groups]
        self.average = EMAModel(self.factors.values(), decay=plan.ema.decay) if plan.ema.decay else None

    def run(self) -> dict[str, Tensor]:
        dataset, size = self.data.dataset, self.plan.data.batch_size
        for epoch in range(self.plan.data.epochs):
            batches = epoch_batches(dataset.deck, dataset.sizes, epoch, None, size, self.plan.seed)
            count = self.plan.optimiser.gradient_accumulation
            for first in range(0, len(batches), count):
                self.window(batches[first : first + count], epoch)
        values = self.average.shadow_params if self.average else self.factors.values()
        return {name: value.detach().flatten(1) for name, value in zip(self.factors, values, strict=True)}

    def window(self, batches: tuple[Batch, ...], epoch: int) -> None:
        self.optimiser.zero_grad()
        losses = torch.cat([self.losses(batch) for batch in batches])
        losses.mean().backward()
        torch.nn.utils.clip_grad_norm_(
            [value for value in self.factors.values() if value.grad is not None],
            self.plan.optimiser.max_grad_norm,
        )
        staged = [s.factor for s in self.plan.schedule.stages for _ in range(s.epochs)]
        for group, rate in zip(self.optimiser.param_groups, self.rates, strict=True):
            group["lr"] = rate * (staged[epoch] if staged else 1)
        self.optimiser.step()
        self.taken += 1
        if self.plan.optimiser.max_weight_norm:
            self.shrink(self.plan.optimiser.max_weight_norm)
        if self.average:
            self.average.step(self.factors.values())

    @torch.no_grad()
    def shrink(self, largest: float) -> None:
        for name, down in self.factors.items():
            if name.endswith("down"):
                up = self.factors[name.removesuffix("down") + "up"]
                norm = (self.plan.lora.alpha_over_rank * up.flatten(1) @ down.flatten(1)).norm()
                if norm > largest:
                    up.mul_((largest / norm).sqrt())
                    down.mul_((largest / norm).sqrt())

    def losses(self, batch: Batch) -> Tensor:
        settings, plan = self.plan.noise, self.plan
        clean = torch.stack([self.data.latents(i) for i in batch.examples]).double()
        shape = tuple(clean.shape[1:])
        draws = [noise.draw(plan.seed, p, shape, 1000) for p in batch.presentations]
        added = torch.stack(
            [self.noise(d, x, p) for d, x, p in zip(draws, clean, batch.presentations, strict=True)]
        )
        rows = noise.rows(plan, batch.presentations, 0)
        when = torch.tensor(
            [noise.timestep(d.timestep, self.base.process, row) for d, row in zip(draws, rows, strict=True)]
        )
        disturbed = added
        if settings.ip_gamma:
            extra = [noise.disturbance(plan.seed, p, shape).double() for p in batch.presentations]
            disturbed = added + settings.ip_gamma * torch.stack(extra)
        kept = self.base.alphas_cumprod[when].view(-1, 1, 1, 1)
        said = self.base.unet(
            kept.sqrt() * clean + (1 - kept).sqrt() * disturbed, when, self.text(batch)
        ).sample
        error, c = said - added, settings.huber_c
        root = 2 * ((error**2 + c**2).sqrt() - c)
        values = {"l2": error**2, "huber": c * root, "smooth_l1": root}[settings.loss].mean(dim=(1, 2, 3))
        if settings.debiased:
            snr = (kept / (1 - kept)).flatten()
            values = values / snr.clamp(max=1000).sqrt()
        return values

    def noise(self, drawn: noise.NoiseDraw, clean: Tensor, presentation: int) -> Tensor:
        settings = self.plan.noise
        share = settings.offset + settings.adaptive_scale * clean.mean(dim=(1, 2)).abs()
        added = drawn.noise.double() + share.clamp(min=0).view(-1, 1, 1) * drawn.offset.double()
        if not settings.multires_iterations:
            return added
        return published_pyramid(
            added, settings.multires_iterations, settings.multires_discount, self.plan.seed, presentation
        )

    def text(self, batch: Batch) -> Tensor:
        tokens = self.base.tokenizer(
            [self.data.dataset.examples[i].caption for i in batch.examples],
            padding="max_length",
            max_length=77,
            return_tensors="pt",
        )
        share = self.plan.optimiser.text_stop_share
        going = share == 1 or self.taken < round(share * 6)
        with torch.set_grad_enabled(going and self.plan.lora.text_encoder):
            found: Tensor = self.base.text_encoder(tokens.input_ids).last_hidden_state
        return found


def test_batch_one_accumulated_four_times_equals_batch_four(
    tiny_base: Bases, few_dataset: Dataset, encode: Encode, make_plan: Plans
) -> None:
    """Five images an epoch: a window of four and one of one."""
    training = pack(encode(few_dataset, tiny_base(torch.float64)), 2)
    one = training.admit(0, make_plan(rank=3, batch_size=1, gradient_accumulation=4, epochs=2, debiased=True))
    four = training.admit(1, make_plan(rank=3, batch_size=4, epochs=2, debiased=True))
    assert one.total_steps == four.total_steps == 4
    ends: dict[int, EpochEnd] = {}
    weights: dict[int, dict[str, Tensor]] = {}
    while len(ends) < 2:
        for event in training.step():
            assert isinstance(event, EpochEnd)
            if event.last:
                ends[event.trial], weights[event.trial] = event, state(training, event.trial)
                training.evict(event.trial)
    assert relative_difference(weights[0], weights[1]) < 1e-8
    assert (ends[0].steps, ends[0].images_seen) == (ends[1].steps, ends[1].images_seen) == (4, 10)
    assert ends[0].training_loss == pytest.approx(ends[1].training_loss)


MIXED: dict[int, dict[str, Any]] = {
    1: {"rank": 3, "optimiser": "dadapt_adam", "args": {"d0": 1e-4}, "gradient_accumulation": 3, "decay": 0.9},
    2: {"rank": 2, "optimiser": "adafactor", "batch_size": 2, "text_encoder": True, "text_stop_share": 0.3,
        "lora_plus_ratio": 4.0, "multires_iterations": 8, "decay": 0.5},
    3: {"rank": 1, "optimiser": "sgd_nesterov", "unet_lr": 1.0, "loss": "huber", "max_weight_norm": 0.05},
    4: {"rank": 4, "text_encoder": True, "ip_gamma": 0.1, "debiased": True, "gradient_accumulation": 2,
        "schedule": "staged", "stages": [{"epochs": 1}, {"epochs": 1, "factor": 0.2}]},
    5: {"rank": 2, "optimiser": "lion", "adaptive_scale": 0.1, "loss": "smooth_l1", "max_timestep": 300},
}  # fmt: skip


def test_mixed_recipes_packed_equal_the_same_recipes_alone(
    tiny_base: Bases, few_dataset: Dataset, encode: Encode, make_plan: Plans
) -> None:
    """A neighbour of a larger rank comes inside accumulation windows, and moves the bank's tensors."""
    plans = {trial: make_plan(seed=SEED, epochs=4, **fields) for trial, fields in MIXED.items()}
    training = pack(encode(few_dataset, tiny_base(torch.float64)), 6)
    for trial, plan in plans.items():
        training.admit(trial, plan)
    steps(training, 4)
    training.admit(9, make_plan(rank=9, batch_size=3, epochs=99))
    steps(training, 4)
    for trial, plan in plans.items():
        alone = pack(encode(few_dataset, tiny_base(torch.float64)), 1)
        alone.admit(trial, plan)
        steps(alone, 8)
        assert relative_difference(state(training, trial), state(alone, trial)) < 1e-8
        with training.shown([trial]), alone.shown([trial]):
            assert relative_difference(state(training, trial), state(alone, trial)) < 1e-8


def test_every_full_precision_optimiser_is_the_same_in_one_pack_and_alone(
    tiny_base: Bases, few_dataset: Dataset, encode: Encode, make_plan: Plans
) -> None:
    names = [name for name, kind in OPTIMISERS.items() if not kind.eight_bit]
    plans = [
        make_plan(optimiser=name, rank=2, epochs=9, args={"d0": 1e-4} if OPTIMISERS[name].adaptive else {})
        for name in names
    ]
    training = pack(encode(few_dataset, tiny_base(torch.float64)), len(plans))
    start = []
    for trial, plan in enumerate(plans):
        training.admit(trial, plan)
        start.append(state(training, trial))
    steps(training, 4)
    for trial, plan in enumerate(plans):
        alone = pack(encode(few_dataset, tiny_base(torch.float64)), 1)
        alone.admit(0, plan)
        steps(alone, 4)
        assert relative_difference(state(training, trial), state(alone, 0)) < 1e-8
        assert relative_difference(state(training, trial), start[trial]) > 0


def test_out_of_memory_inside_a_window_loses_no_gradient(
    tiny_base: Bases, few_dataset: Dataset, encode: Encode, make_plan: Plans, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = make_plan(rank=2, gradient_accumulation=3, epochs=2)
    training = pack(encode(few_dataset, tiny_base(torch.float64)), 2)
    for trial in (0, 1):
        training.admit(trial, plan)
    backward, calls = torch.autograd.backward, iter(range(100))

    def failing(*tensors: Any) -> None:
        backward(*tensors)
        if next(calls) == 1:
            raise torch.OutOfMemoryError("pretended")

    monkeypatch.setattr(torch.autograd, "backward", failing)
    assert OutOfMemory(1) in steps(training, 4)
    alone = pack(encode(few_dataset, tiny_base(torch.float64)), 1)
    alone.admit(0, plan)
    steps(alone, 3)
    assert relative_difference(state(training, 0), state(alone, 0)) < 1e-8


def test_the_optimiser_rests_inside_a_window(
    tiny_base: Bases, few_dataset: Dataset, encode: Encode, make_plan: Plans
) -> None:
    training = pack(encode(few_dataset, tiny_base()), 1)
    run = training.admit(0, make_plan(rank=2, gradient_accumulation=3))
    start, moved = state(training, 0), []
    for _ in range(5):
        training.step()
        moved.append(not equal(state(training, 0), start))
        start = state(training, 0)
    assert moved == [False, False, True, False, True]
    assert (run.progress.steps, run.progress.images_seen) == (2, 5)


def test_a_resting_text_encoder_keeps_its_weights_while_the_unet_goes_on(
    tiny_base: Bases, few_dataset: Dataset, encode: Encode, make_plan: Plans
) -> None:
    training = pack(encode(few_dataset, tiny_base()), 1)
    training.admit(0, make_plan(rank=2, text_encoder=True, text_stop_share=0.4, epochs=1))
    found = []
    for _ in range(5):
        training.step()
        found.append(state(training, 0))
    text = [{name: value for name, value in s.items() if name.startswith("text")} for s in found]
    unet = [{name: value for name, value in s.items() if name.startswith("unet")} for s in found]
    assert [equal(text[i], text[i + 1]) for i in range(4)] == [False, True, True, True]
    assert not any(equal(unet[i], unet[i + 1]) for i in range(4))


def test_the_average_is_shown_and_training_goes_on_with_the_raw_weights(
    tiny_base: Bases, few_dataset: Dataset, encode: Encode, make_plan: Plans
) -> None:
    training = pack(encode(few_dataset, tiny_base()), 2)
    training.admit(0, make_plan(rank=2, decay=0.9, epochs=9))
    training.admit(1, make_plan(rank=2, epochs=9))
    steps(training, 6)
    before = [state(training, trial) for trial in (0, 1)]
    assert equal(*before)
    with training.shown([0, 1]):
        shown = [state(training, trial) for trial in (0, 1)]
    assert not equal(shown[0], before[0])
    assert equal(shown[1], before[1])
    assert equal(state(training, 0), before[0])
    steps(training, 3)
    assert equal(state(training, 0), state(training, 1))


def test_the_reported_loss_is_the_plain_square_whatever_is_minimised(
    tiny_base: Bases, few_dataset: Dataset, encode: Encode, make_plan: Plans
) -> None:
    training: Pack = pack(encode(few_dataset, tiny_base(torch.float64)), 3)
    for trial, fields in enumerate(({}, {"loss": "huber"}, {"debiased": True})):
        training.admit(trial, make_plan(rank=2, unet_lr=1e-9, epochs=1, **fields))
    ends = [event for event in steps(training, 5) if isinstance(event, EpochEnd)]
    assert [end.training_loss for end in ends] == pytest.approx([ends[0].training_loss] * 3, rel=1e-6)
