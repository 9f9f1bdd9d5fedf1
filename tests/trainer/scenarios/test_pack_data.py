"""What the data section asks for, in packs: each trial as alone, and nothing else changed."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import ImageOps
from torch import Tensor

from tests.trainer.driving import equal, pack, relative_difference, state, steps, train
from trainer.bases.base_model import BaseModel
from trainer.data.caches import TensorCache
from trainer.data.dataset import Dataset, read
from trainer.data.encoded import Encoded
from trainer.data.images import open_rgb
from trainer.outcome import EpochEnd
from trainer.plan import TrainingPlan
from trainer.training import batch
from trainer.training.checkpoints import save_state

Bases = Callable[..., BaseModel]
Plans = Callable[..., TrainingPlan]

SHARED: dict[str, Any] = {
    "enable_bucket": True,
    "min_bucket_reso": 32,
    "max_bucket_reso": 128,
    "bucket_reso_steps": 32,
    "max_token_length": 150,
    "weighted_captions": True,
    "epochs": 99,
}
MIXED: dict[int, dict[str, Any]] = {
    1: {"rank": 3, "flip": True, "caption_dropout": 0.3, "prior_loss_weight": 0.5},
    2: {
        "rank": 8,
        "batch_size": 2,
        "text_encoder": True,
        "rotation_degrees": 8.0,
        "colour_jitter": 0.2,
        "prior_loss_epochs": 3,
        "fold": 0,
    },
    3: {"rank": 2, "batch_size": 3, "random_crop": True, "zoom": 0.2, "tag_dropout": 0.4, "fold": 2},
    4: {"rank": 5, "shuffle_caption": True, "rotation_degrees": 8.0, "colour_jitter": 0.2, "flip": True},
}


@pytest.fixture(scope="module")
def folders(few_folder: Path, demo_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Nine images in two shapes with tags, emphasis and one long caption, and four regularisation images."""
    root = tmp_path_factory.mktemp("rich")
    shutil.copytree(few_folder, root / "set")
    for i, image in enumerate(sorted((root / "set" / "1_fluent").glob("*.png"))):
        if i % 2:
            open_rgb(image).resize((128, 64)).save(image)
        words = image.with_suffix(".txt").read_text()
        more = ", long" * 100 if i == 0 else ""
        image.with_suffix(".txt").write_text(f"({words}:1.4), sharp, [flat], bright{more}")
    (root / "reg" / "2_thing").mkdir(parents=True)
    for i, image in enumerate(sorted(demo_folder.glob("*/*.png"))[20:24]):
        picture = ImageOps.mirror(open_rgb(image))
        picture.resize((128, 64) if i == 3 else (64, 64)).save(root / "reg" / "2_thing" / image.name)
    return {"folder": root / "set", "reg_folder": root / "reg"}


@pytest.fixture(scope="module")
def rich(folders: dict[str, Path], make_plan: Plans) -> Dataset:
    found = read(make_plan(**folders, **SHARED).data, (0.2, 0.2), 0, folds=3)
    assert len(set(found.sizes)) == 2
    return found


@pytest.fixture
def encoded(tiny_base: Bases, tmp_path: Path) -> Callable[..., Encoded]:
    """``encoded(dataset)``: on a base of its own, all in float64, the autoencoder too."""

    def make(dataset: Dataset) -> Encoded:
        base = tiny_base(torch.float64)
        vae = copy.deepcopy(base.vae).double()
        return Encoded(dataset, replace(base, vae=vae), TensorCache(tmp_path / "cache"))

    return make


@pytest.mark.slow
def test_packed_trials_with_all_sorts_of_data_equal_the_same_trials_alone(
    rich: Dataset, encoded: Callable[..., Encoded], folders: dict[str, Path], make_plan: Plans
) -> None:
    plans = {trial: make_plan(**folders, **SHARED, **fields) for trial, fields in MIXED.items()}
    training = pack(encoded(rich), 5)
    training.admit(100, make_plan(**folders, **SHARED, rank=4, flip=True))
    for trial, plan in plans.items():
        training.admit(trial, plan)
    steps(training, 5)
    training.evict(100)
    steps(training, 11)
    for trial, plan in plans.items():
        taken = training.runs[trial].progress.steps
        assert taken > 3
        alone = train(encoded(rich), plan, taken)
        assert relative_difference(state(training, trial), alone) < 1e-8


@pytest.mark.parametrize("trial", MIXED)
def test_training_goes_on_from_an_epoch_end_as_if_it_had_not_stopped(
    rich: Dataset,
    encoded: Callable[..., Encoded],
    folders: dict[str, Path],
    make_plan: Plans,
    tmp_path: Path,
    trial: int,
) -> None:
    plan = make_plan(**folders, **SHARED, **MIXED[trial])
    training = pack(encoded(rich), 1)
    training.admit(0, plan)
    while not any(isinstance(event, EpochEnd) for event in training.step()):
        pass
    save_state(tmp_path / "state.safetensors", training.runs[0], training.bank)
    steps(training, 4)
    resumed = pack(encoded(rich), 1)
    resumed.admit(0, plan, tmp_path / "state.safetensors")
    steps(resumed, 4)
    assert equal(state(resumed, 0), state(training, 0))


def first_gradient(data: Encoded, plan: TrainingPlan, epoch: int = 0) -> Tensor:
    training = pack(data, 1)
    run = training.admit(0, plan)
    names = training.bank.state(run.slot)
    source = torch.Generator().manual_seed(0)
    training.bank.load(
        run.slot, {name: torch.randn(v.shape, generator=source) * 0.1 for name, v in names.items()}
    )
    run.progress.epoch = epoch
    training._forward_backward([run])
    return training.bank.gradients(run.slot).clone()


def test_a_regularisation_images_gradient_is_multiplied_by_the_prior_loss_weight(
    rich: Dataset, encoded: Callable[..., Encoded], folders: dict[str, Path], make_plan: Plans
) -> None:
    """Gradients are linear in the weight, and without it they are those of the training images alone."""

    def gradient(epoch: int = 0, **fields: Any) -> Tensor:
        return first_gradient(encoded(rich), make_plan(**folders, **SHARED, batch_size=2, **fields), epoch)

    none, whole, part = (gradient(prior_loss_weight=weight) for weight in (0, 1, 0.3))
    torch.testing.assert_close(part, 0.7 * none + 0.3 * whole, rtol=1e-9, atol=1e-12)
    assert float((whole - none).norm()) > 1e-3 * float(none.norm())
    alone = replace(rich, regularisation=())
    without = first_gradient(encoded(alone), make_plan(**folders, **SHARED, batch_size=2))
    torch.testing.assert_close(2 * none, without, rtol=1e-9, atol=1e-12)
    falling = gradient(epoch=1, prior_loss_epochs=2, prior_loss_min_weight=0.4)
    torch.testing.assert_close(falling, 0.3 * none + 0.7 * whole, rtol=1e-9, atol=1e-12)


def test_regularisation_images_count_neither_as_images_seen_nor_in_the_reported_loss(
    rich: Dataset, encoded: Callable[..., Encoded], folders: dict[str, Path], make_plan: Plans
) -> None:
    ends = []
    for dataset in (rich, replace(rich, regularisation=())):
        training = pack(encoded(dataset), 1)
        training.admit(0, make_plan(**folders, **{**SHARED, "epochs": 1}, unet_lr=1e-12))
        (end,) = steps(training, len(rich.split.train))
        ends.append(end)
    with_others, without = ends
    assert isinstance(with_others, EpochEnd) and isinstance(without, EpochEnd)
    assert with_others.images_seen == without.images_seen == len(rich.split.train)
    assert with_others.training_loss == pytest.approx(without.training_loss, rel=1e-6)


@pytest.mark.parametrize(
    "fields",
    [
        {"flip": True},
        {"random_crop": True, "zoom": 0.3},
        {"rotation_degrees": 10.0},
        {"colour_jitter": 0.3},
        {"caption_dropout": 0.5},
        {"tag_dropout": 0.5},
    ],
    ids=lambda fields: next(iter(fields)),
)
def test_each_augmentation_changes_its_input_and_nothing_else(
    rich: Dataset,
    encoded: Callable[..., Encoded],
    folders: dict[str, Path],
    make_plan: Plans,
    fields: dict[str, Any],
) -> None:
    seen = []
    training = pack(encoded(rich), 2)
    runs = [
        training.admit(i, make_plan(**folders, **SHARED, batch_size=5, **more))
        for i, more in enumerate(({}, fields))
    ]
    for run in runs:
        seen.append(batch.gather([run], training.data, training.bank.dtype))
    plain, changed = seen
    assert torch.equal(plain.noise, changed.noise)
    assert torch.equal(plain.timesteps, changed.timesteps)
    assert plain.priors == changed.priors
    words_alone = "caption_dropout" in fields or "tag_dropout" in fields
    assert torch.equal(plain.latents, changed.latents) == words_alone
    assert (plain.captions == changed.captions) != words_alone


def test_trials_with_the_same_augmentation_share_the_encoding_of_a_presentation(
    rich: Dataset,
    encoded: Callable[..., Encoded],
    folders: dict[str, Path],
    make_plan: Plans,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[int] = []
    encode = Encoded._encode
    monkeypatch.setattr(Encoded, "_encode", lambda self, s: (made.append(len(s)), encode(self, s))[1])
    training = pack(encoded(replace(rich, regularisation=())), 3)
    for trial, rank in enumerate((2, 4, 8)):
        training.admit(trial, make_plan(**folders, **SHARED, rank=rank, colour_jitter=0.2))
    steps(training, 3)
    assert made == [1, 1, 1]
