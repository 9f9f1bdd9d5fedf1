"""The noise schedule: the base's own, and rescaled to zero terminal SNR."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.trainer.driving import pack, relative_difference, state, steps, train
from trainer.bases import base_model
from trainer.bases.base_model import BaseModel, BaseModelError
from trainer.bases.schedule import ending_in_noise
from trainer.data.dataset import Dataset
from trainer.data.encoded import Encoded
from trainer.plan import TrainingPlan
from trainer.plans.base import BasePlan
from trainer.training import losses

Load = Callable[..., BaseModel]


def published(alphas_cumprod: np.ndarray) -> np.ndarray:
    """Lin et al. 2023, algorithm 1, from betas to betas and back."""
    roots = np.sqrt(alphas_cumprod)
    first, last = roots[0], roots[-1]
    roots = (roots - last) * first / (first - last)
    bars = roots**2
    alphas = np.concatenate([bars[:1], bars[1:] / bars[:-1]])
    return np.cumprod(1 - (1 - alphas))


def test_the_schedule_ends_in_noise_as_published() -> None:
    betas = np.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2
    kept = np.cumprod(1 - betas)
    found = ending_in_noise(torch.tensor(kept)).numpy()
    np.testing.assert_allclose(found, published(kept), rtol=1e-9, atol=1e-15)
    assert found[-1] == 0
    assert found[0] == pytest.approx(kept[0], rel=1e-12)
    assert (np.diff(found) < 0).all()


def test_it_is_what_diffusers_computes_and_doing_it_twice_changes_nothing() -> None:
    from diffusers import DDPMScheduler

    plain = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
    wanted = DDPMScheduler(**plain, rescale_betas_zero_snr=True).alphas_cumprod.double()
    found = ending_in_noise(DDPMScheduler(**plain).alphas_cumprod.double())
    torch.testing.assert_close(found, wanted, rtol=1e-3, atol=1e-6)
    torch.testing.assert_close(ending_in_noise(found), found, rtol=1e-12, atol=0)


def test_the_plan_overrides_what_the_base_says(load_base: Load, micro_sd2: Path) -> None:
    assert load_base(micro_sd2).prediction_type == "v_prediction"
    changed = load_base(micro_sd2, prediction_type="epsilon")
    assert changed.prediction_type == "epsilon"
    assert changed.schedule_config["prediction_type"] == "epsilon"
    rescaled = load_base(micro_sd2, zero_terminal_snr=True)
    assert rescaled.alphas_cumprod[-1] == 0
    assert rescaled.schedule_config["rescale_betas_zero_snr"] is True
    assert rescaled.identity.zero_terminal_snr


def test_a_base_that_says_zero_terminal_snr_itself_is_believed_unless_the_plan_objects(
    micro_sd2: Path, tmp_path: Path, load_base: Load
) -> None:
    import json

    from tests.bases import copy_of

    folder = copy_of(micro_sd2, tmp_path / "base")
    file = folder / "scheduler" / "scheduler_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "rescale_betas_zero_snr": True}))
    assert load_base(folder).alphas_cumprod[-1] == 0
    plain = load_base(folder, zero_terminal_snr=False)
    assert torch.equal(plain.alphas_cumprod, load_base(micro_sd2).alphas_cumprod)


def test_zero_terminal_snr_without_v_prediction_is_refused(assets: Path) -> None:
    with pytest.raises(BaseModelError, match="needs v-prediction"):
        base_model.check(BasePlan(path=assets / "micro-sd", zero_terminal_snr=True))
    base_model.check(
        BasePlan(path=assets / "micro-sd", zero_terminal_snr=True, prediction_type="v_prediction")
    )


def test_a_prediction_that_cannot_be_trained_is_told(micro_sd2: Path, tmp_path: Path) -> None:
    from tests.bases import copy_of

    folder = copy_of(micro_sd2, tmp_path / "base")
    file = folder / "scheduler" / "scheduler_config.json"
    file.write_text(file.read_text().replace("v_prediction", "sample"))
    with pytest.raises(BaseModelError, match="predicts 'sample'"):
        base_model.check(folder)


def test_snr_weights_at_the_zero_are_zero_and_finite() -> None:
    """v: min(snr, gamma) / (snr + 1), at snr = 0 and at snr = 1."""
    found = losses.min_snr_weight(torch.tensor([0.0, 0.5]), 5.0, "v_prediction")
    assert found.tolist() == [0.0, 0.5]


@pytest.mark.parametrize("zero", [False, True])
def test_v_prediction_trains_packed_as_alone(
    zero: bool,
    load_base: Load,
    micro_sd2: Path,
    few_dataset: Dataset,
    encode: Callable[[Dataset, BaseModel], Encoded],
    make_plan: Callable[..., TrainingPlan],
) -> None:
    plans = {
        0: make_plan(rank=2, min_snr_gamma=5.0, text_encoder=True, epochs=9),
        1: make_plan(rank=4, batch_size=2, clip_skip=2, epochs=9),
    }

    def base() -> BaseModel:
        return load_base(micro_sd2, torch.float64, zero_terminal_snr=zero)

    training = pack(encode(few_dataset, base()), 2)
    for trial, plan in plans.items():
        training.admit(trial, plan)
    steps(training, 8)
    for trial, plan in plans.items():
        assert relative_difference(state(training, trial), train(encode(few_dataset, base()), plan, 8)) < 1e-8
