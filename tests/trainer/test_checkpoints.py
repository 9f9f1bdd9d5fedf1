"""A trial that is stopped at an epoch end and resumed elsewhere is the trial that was never stopped."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.trainer.driving import equal, pack, state, steps
from trainer.base_model import BaseModel
from trainer.checkpoints import load_state, save_state
from trainer.data.dataset import Dataset, Encoded
from trainer.outcome import EpochEnd
from trainer.plan import TrainingPlan

Bases = Callable[..., BaseModel]
Encode = Callable[[Dataset, BaseModel], Encoded]
Plans = Callable[..., TrainingPlan]
STEPS = 5
"""Per epoch at batch size 1."""


@pytest.mark.parametrize("optimiser", ["adamw", "adamw8bit", "lion", "prodigy"])
def test_a_resumed_trial_is_exactly_the_uninterrupted_one(
    tiny_base: Bases, few_dataset: Dataset, encode: Encode, make_plan: Plans, tmp_path: Path, optimiser: str
) -> None:
    plan = make_plan(
        optimiser=optimiser, rank=64, epochs=4, text_encoder=True, schedule="cosine", warmup_share=0.3
    )
    training = pack(encode(few_dataset, tiny_base()), 2)
    run = training.admit(0, plan)
    events = steps(training, 2 * STEPS)
    assert [event.epoch for event in events if isinstance(event, EpochEnd)] == [1, 2]
    save_state(tmp_path / "state.safetensors", run, training.bank)
    rest = steps(training, 2 * STEPS)

    elsewhere = pack(encode(few_dataset, tiny_base()), 3)
    elsewhere.admit(9, make_plan(rank=2))
    resumed = elsewhere.admit(0, plan, tmp_path / "state.safetensors")
    elsewhere.evict(9)
    assert resumed.slot == 1
    assert resumed.progress.epoch == 2
    assert steps(elsewhere, 2 * STEPS) == rest
    assert equal(state(elsewhere, 0), state(training, 0))
    assert resumed.schedule.get_last_lr() == run.schedule.get_last_lr()


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
