from pathlib import Path

import pytest

from studies.errors import StudyError
from studies.spec import study_file
from studies.spec.planner import Planner
from tests.studies.spec.test_study_file import GOOD
from trainer.data.dataset import Dataset
from trainer.data.images import Example
from trainer.data.split import Split


def dataset(train: int = 10, repeats: int = 2) -> Dataset:
    examples = tuple(
        Example(Path(f"{i}.png"), "caption", repeats, f"{i:064x}", (64, 64)) for i in range(train + 2)
    )
    split = Split(tuple(range(train)), (train,), (train + 1,))
    return Dataset(examples, split, ((64, 64),) * len(examples), (), "fingerprint")


def planner(data: str = "", space: str = "") -> Planner:
    text = GOOD.replace('folder = "images"', f'folder = "images"\n{data}')
    return Planner(
        study_file.parse(text.replace("[objective]", space + "[objective]"), Path("/data")), dataset(), 3
    )


def test_epochs_follow_from_the_image_budget():
    assert planner().plan({}).data.epochs == 100 // (10 * 2)
    assert planner(data="repeats = 5").plan({}).data.epochs == 100 // (10 * 5)


def test_searched_repeats_change_the_rhythm_and_not_the_length():
    space = '"data.repeats" = { choices = [1, 5] }\n'
    plans = [planner(space=space).plan({"data.repeats": repeats}) for repeats in (1, 5)]
    assert [plan.data.epochs * (plan.data.repeats or 0) for plan in plans] == [10, 10]


def test_accumulation_changes_neither_images_nor_epochs():
    text = '"optimiser.gradient_accumulation" = { choices = [1, 4] }\n'
    plans = [planner(space=text).plan({"optimiser.gradient_accumulation": count}) for count in (1, 4)]
    assert [plan.data.epochs for plan in plans] == [5, 5]


def test_epochs_that_are_given_are_kept():
    assert planner(data="epochs = 2").plan({}).data.epochs == 2


def test_the_study_seed_becomes_the_plan_seed():
    assert planner().plan({"optimiser.unet_lr": 1e-3}).seed == 3


def test_an_epoch_longer_than_the_budget_is_told():
    with pytest.raises(StudyError, match="is less than one epoch of 110 images"):
        planner(data="repeats = 11").check()


def test_searched_epochs_beyond_the_budget_are_told():
    with pytest.raises(StudyError, match="is less than 9 epochs of 20 images"):
        planner(space='"data.epochs" = { low = 1, high = 9 }\n').check()


@pytest.mark.parametrize(
    ("field", "on"), [("noise.min_snr_gamma", 5.0), ("lora.conv_rank", 8), ("optimiser.max_weight_norm", 1.0)]
)
def test_off_can_be_a_choice(field: str, on: float) -> None:
    made = planner(space=f'"{field}" = {{ choices = ["off", {on}] }}\n')
    section, _, leaf = field.partition(".")
    assert getattr(getattr(made.plan({field: "off"}), section), leaf) is None
    assert getattr(getattr(made.plan({field: on}), section), leaf) == on


def test_the_heaviest_plan_has_on_what_may_be_off() -> None:
    assert planner(space='"lora.conv_rank" = { choices = ["off", 8, 4] }\n').heaviest().lora.conv_rank == 8
    assert planner(space='"lora.dora" = { choices = [true, false] }\n').heaviest().lora.dora


def test_dora_and_the_scaling_are_searched_trial_by_trial() -> None:
    found = planner(
        space='"lora.dora" = { choices = [true, false] }\n'
        '"lora.scaling" = { choices = ["alpha/rank", "alpha/sqrt(rank)"] }\n'
    )
    plan = found.plan({"lora.dora": True, "lora.scaling": "alpha/sqrt(rank)"})
    assert (plan.lora.dora, plan.lora.scaling) == (True, "alpha/sqrt(rank)")
