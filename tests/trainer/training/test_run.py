"""One trial's optimiser groups, clipping, progress and verdict of divergence."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch

from tests.trainer.driving import pack
from tests.words import sentence_of
from trainer.adapters.bank import Shape
from trainer.bases.base_model import BaseModel
from trainer.data.dataset import Dataset
from trainer.data.encoded import Encoded
from trainer.data.order import epoch_batches
from trainer.plan import TrainingPlan
from trainer.training.pack import Pack
from trainer.training.run import TrainingRun, shape_of

Plans = Callable[..., TrainingPlan]


@pytest.fixture
def training(
    tiny_base: Callable[..., BaseModel],
    few_dataset: Dataset,
    encode: Callable[[Dataset, BaseModel], Encoded],
) -> Pack:
    return pack(encode(few_dataset, tiny_base()), 2)


def parts_of(run: TrainingRun) -> list[tuple[int, float]]:
    """Numbers and learning rate of each group, as the optimiser sees them."""
    found = run.stepper
    with found._gathered("values"):
        return [
            (sum(leaf.numel() for leaf in group["params"]), group["lr"])
            for group in found.optimiser.param_groups
        ]


def test_the_text_encoder_has_its_own_rate(training: Pack, make_plan: Plans) -> None:
    run = training.admit(0, make_plan(text_encoder=True, unet_lr=1e-3, text_lr_over_unet_lr=0.25))
    unet, text = (
        sum(leaf.numel() for leaf in training.bank.parameters(run.slot, part))
        for part in ("unet", "text_encoder")
    )
    assert parts_of(run) == [(unet, 1e-3), (text, 2.5e-4)]


def test_a_part_that_is_not_trained_has_no_group(training: Pack, make_plan: Plans) -> None:
    only_unet = training.admit(0, make_plan(unet_lr=1e-3))
    only_text = training.admit(1, make_plan(unet=False, text_encoder=True, unet_lr=1e-3))
    assert [rate for _, rate in parts_of(only_unet)] == [1e-3]
    assert [rate for _, rate in parts_of(only_text)] == [5e-4]


def test_a_trial_of_the_text_encoder_alone_learns(training: Pack, make_plan: Plans) -> None:
    training.admit(0, make_plan(unet=False, text_encoder=True))
    training.step()
    state = training.bank.state(0)
    assert all(name.startswith("text_encoder.") for name in state)
    assert sum(float(value.abs().sum()) for name, value in state.items() if name.endswith("up")) > 0


def test_gradients_are_clipped_as_torch_clips_them(training: Pack, make_plan: Plans) -> None:
    run = training.admit(0, make_plan(max_grad_norm=0.5))
    leaves = training.bank.parameters(0, "unet")
    for leaf in leaves:
        assert leaf.grad is not None
        leaf.grad.normal_(generator=torch.Generator().manual_seed(leaf.numel()))
    copies = [torch.nn.Parameter(leaf.detach().clone()) for leaf in leaves]
    for copy, leaf in zip(copies, leaves, strict=True):
        assert leaf.grad is not None
        copy.grad = leaf.grad.clone()
    norm = torch.nn.utils.clip_grad_norm_(copies, 0.5)
    found = training._clip([run])
    assert float(found) == pytest.approx(float(norm))
    assert norm > 0.5
    for copy, leaf in zip(copies, leaves, strict=True):
        torch.testing.assert_close(leaf.grad, copy.grad, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize(
    ("batch_size", "repeats", "steps"), [(1, None, 5), (2, None, 3), (4, 3, 4), (99, 2, 1)]
)
def test_the_horizon_is_epochs_times_batches(
    training: Pack, make_plan: Plans, few_dataset: Dataset, batch_size: int, repeats: int | None, steps: int
) -> None:
    run = training.admit(0, make_plan(batch_size=batch_size, repeats=repeats, epochs=3))
    epoch = epoch_batches(few_dataset.deck, few_dataset.sizes, 0, repeats, batch_size, 0)
    assert run.total_steps == 3 * steps == 3 * len(epoch)


def test_progress_counts_images_and_averages_the_loss(training: Pack, make_plan: Plans) -> None:
    run = training.admit(0, make_plan(batch_size=2))
    ends = []
    for error in (1.0, 2.0, 6.0):
        run.note(error, run.next_batch.training)
        ends.append(run.advance())
    assert ends == [False, False, True]
    assert (run.progress.images_seen, run.progress.steps) == (5, 3)
    run.next_epoch()
    assert run.progress.epoch == 1
    assert run.progress.last_epoch_loss == pytest.approx((1.0 * 2 + 2.0 * 2 + 6.0) / 5)


@pytest.mark.parametrize(
    ("error", "norm", "reason"),
    [
        (math.nan, 1.0, "the loss became nan"),
        (math.inf, 1.0, "the loss became inf"),
        (0.5, math.nan, "the gradient became nan"),
        (0.5, math.inf, "the gradient became inf"),
        (0.5, 1e9, None),
    ],
)
def test_what_is_not_a_number_has_diverged(
    training: Pack, make_plan: Plans, error: float, norm: float, reason: str | None
) -> None:
    found = training.admit(0, make_plan()).trouble(error, norm)
    assert found is None if reason is None else sentence_of(found).startswith(reason)


def test_one_bad_batch_is_forgiven_and_a_lasting_bad_loss_is_not(training: Pack, make_plan: Plans) -> None:
    run = training.admit(0, make_plan(epochs=99, repeats=99))
    verdicts = []
    for error in [0.5] * 30 + [5.0] + [0.5] * 5 + [3.0] * 40:
        run.note(error, run.next_batch.training)
        run.advance()
        verdicts.append(run.trouble(error, 1.0))
    assert not any(verdicts[:37])
    assert "the loss rose to" in sentence_of(verdicts[-1])


def test_the_slot_follows_the_plan(make_plan: Plans) -> None:
    plan = make_plan(rank=3, alpha_over_rank=0.2, text_encoder=True)
    assert shape_of(plan) == Shape(3, 0.2, ("unet", "text_encoder", "text_encoder_2"))
    assert shape_of(make_plan(rank=3, alpha_over_rank=0.2)).prefixes == ("unet",)
