"""A trial that is stopped at an epoch end and resumed elsewhere is the trial that was never stopped."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.trainer.driving import equal, pack, relative_difference, state, steps
from trainer.bases.base_model import BaseModel
from trainer.data.dataset import Dataset
from trainer.data.encoded import Encoded
from trainer.outcome import EpochEnd
from trainer.plan import TrainingPlan
from trainer.plans.optimiser_kinds import OPTIMISERS
from trainer.training.checkpoints import load_state, save_state

Bases = Callable[..., BaseModel]
Encode = Callable[[Dataset, BaseModel], Encoded]
Plans = Callable[..., TrainingPlan]
STEPS = 5
"""Per epoch at batch size 1."""


RATES = {"sgd_nesterov": 1.0, "sgd_nesterov8bit": 1.0}


@pytest.mark.parametrize("optimiser", sorted(OPTIMISERS))
def test_a_resumed_trial_is_exactly_the_uninterrupted_one(
    tiny_base: Bases, few_dataset: Dataset, encode: Encode, make_plan: Plans, tmp_path: Path, optimiser: str
) -> None:
    plan = make_plan(
        optimiser=optimiser,
        rank=64,
        epochs=2,
        text_encoder=True,
        text_lr_over_unet_lr=1.0,
        unet_lr=RATES.get(optimiser, 1e-3),
        args={"d0": 1e-3} if OPTIMISERS[optimiser].adaptive else {},
        schedule="cosine",
        warmup_share=0.3,
    )
    assert_resumes(plan, tiny_base, few_dataset, encode, make_plan, tmp_path)


def test_a_recipe_with_every_memory_resumes_exactly(
    tiny_base: Bases, few_dataset: Dataset, encode: Encode, make_plan: Plans, tmp_path: Path
) -> None:
    plan = make_plan(
        rank=4,
        epochs=2,
        text_encoder=True,
        decay=0.9,
        gradient_accumulation=2,
        text_stop_share=0.5,
        lora_plus_ratio=4.0,
        max_weight_norm=0.01,
        schedule="staged",
        stages=[{"epochs": 1}, {"epochs": 1, "factor": 0.1}],
    )
    assert_resumes(plan, tiny_base, few_dataset, encode, make_plan, tmp_path)


def test_dora_and_rslora_resume_exactly(
    tiny_base: Bases, few_dataset: Dataset, encode: Encode, make_plan: Plans, tmp_path: Path
) -> None:
    plan = make_plan(
        rank=4, conv_rank=2, epochs=2, dora=True, scaling="alpha/sqrt(rank)", decay=0.9, lora_plus_ratio=4.0
    )
    assert_resumes(plan, tiny_base, few_dataset, encode, make_plan, tmp_path)


def assert_resumes(
    plan: TrainingPlan, tiny_base: Bases, few_dataset: Dataset, encode: Encode, make_plan: Plans, folder: Path
) -> None:
    training = pack(encode(few_dataset, tiny_base()), 2)
    run = training.admit(0, plan)
    started = state(training, 0)
    events = steps(training, STEPS)
    assert [event.epoch for event in events if isinstance(event, EpochEnd)] == [1]
    save_state(folder / "state.safetensors", run, training.bank)
    rest = steps(training, STEPS)
    assert relative_difference(state(training, 0), started) > 0

    elsewhere = pack(encode(few_dataset, tiny_base()), 3)
    elsewhere.admit(9, make_plan(rank=2))
    resumed = elsewhere.admit(0, plan, folder / "state.safetensors")
    elsewhere.evict(9)
    assert resumed.slot == 1
    assert resumed.progress.epoch == 1
    assert steps(elsewhere, STEPS) == rest
    assert equal(state(elsewhere, 0), state(training, 0))
    with elsewhere.shown([0]), training.shown([0]):
        assert equal(state(elsewhere, 0), state(training, 0))
    assert resumed.stepper.schedule.get_last_lr() == run.stepper.schedule.get_last_lr()


def test_a_trial_that_was_begun_tensor_by_tensor_goes_on_so(
    tiny_base: Bases, few_dataset: Dataset, encode: Encode, make_plan: Plans, tmp_path: Path
) -> None:
    plan = make_plan(rank=4, epochs=2, text_encoder=True)
    training = pack(encode(few_dataset, tiny_base()), 1)
    run = training.admit(0, plan)
    run.stepper._build(None)
    steps(training, STEPS)
    save_state(tmp_path / "state.safetensors", run, training.bank)
    steps(training, STEPS)
    elsewhere = pack(encode(few_dataset, tiny_base()), 1)
    resumed = elsewhere.admit(0, plan, tmp_path / "state.safetensors")
    steps(elsewhere, STEPS)
    assert len(resumed.stepper.optimiser.state) == len(elsewhere.bank.leaves(0))
    assert equal(state(elsewhere, 0), state(training, 0))


def test_saving_a_resumed_trial_gives_the_same_file(
    tiny_base: Bases, few_dataset: Dataset, encode: Encode, make_plan: Plans, tmp_path: Path
) -> None:
    plan = make_plan(optimiser="prodigy", rank=2)
    training = pack(encode(few_dataset, tiny_base()), 1)
    run = training.admit(0, plan)
    steps(training, STEPS)
    save_state(tmp_path / "first", run, training.bank)
    training.evict(0)
    again = training.admit(0, plan)
    load_state(tmp_path / "first", again, training.bank)
    save_state(tmp_path / "second", again, training.bank)
    assert (tmp_path / "first").read_bytes() == (tmp_path / "second").read_bytes()


def test_state_of_another_shape_is_refused(
    tiny_base: Bases, few_dataset: Dataset, encode: Encode, make_plan: Plans, tmp_path: Path
) -> None:
    training = pack(encode(few_dataset, tiny_base()), 2)
    run = training.admit(0, make_plan(rank=2))
    save_state(tmp_path / "state", run, training.bank)
    with pytest.raises(ValueError, match="layers differ"):
        training.admit(1, make_plan(rank=2, text_encoder=True), tmp_path / "state")
    assert list(training.runs) == [0]
    training.admit(1, make_plan(rank=2), tmp_path / "state")
