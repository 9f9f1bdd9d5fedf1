"""Plans check themselves."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import ValidationError

from trainer.plan import TrainingPlan
from trainer.plans.network import LoraPlan


def test_plans_are_frozen(make_plan: Callable[..., TrainingPlan]) -> None:
    with pytest.raises(ValidationError, match="frozen"):
        make_plan().seed = 1  # type: ignore[misc]


def test_a_misspelt_field_is_an_error() -> None:
    with pytest.raises(ValidationError, match="Extra inputs"):
        LoraPlan(dim=4)  # type: ignore[call-arg]


def test_a_plan_survives_json(make_plan: Callable[..., TrainingPlan]) -> None:
    stages = [{"epochs": 2}, {"epochs": 1, "factor": 0.1}]
    args = {"betas": [0.9, 0.95], "use_triton": False}
    plan = make_plan(rank=7, optimiser="lion", args=args, min_snr_gamma=5.0, schedule="staged", stages=stages)
    assert TrainingPlan.model_validate_json(plan.model_dump_json()) == plan


@pytest.mark.parametrize("name", ["dadaptation", "dadapt_lion"])
def test_dadaptation_with_two_rates_is_told(make_plan: Callable[..., TrainingPlan], name: str) -> None:
    with pytest.raises(ValidationError, match=r"text_lr_over_unet_lr = 0\.5; set it to 1"):
        make_plan(optimiser=name, text_encoder=True)
    make_plan(optimiser=name, text_encoder=True, text_lr_over_unet_lr=1)
    make_plan(optimiser=name)
    make_plan(optimiser=name, unet=False, text_encoder=True)
    make_plan(optimiser="prodigy", text_encoder=True)


def test_a_text_encoder_that_stops_needs_a_unet_that_goes_on(make_plan: Callable[..., TrainingPlan]) -> None:
    with pytest.raises(ValidationError, match="would train nothing afterwards"):
        make_plan(unet=False, text_encoder=True, text_stop_share=0.5)


@pytest.mark.parametrize(
    "name", ["adamw8bit", "paged_adamw8bit", "lion8bit", "paged_lion8bit", "sgd_nesterov8bit"]
)
def test_eight_bits_need_half_precision_on_cuda(
    make_plan: Callable[..., TrainingPlan], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    with pytest.raises(ValidationError, match=f"'{name}' needs compute.mixed_precision fp16 or bf16 on CUDA"):
        make_plan(optimiser=name)
    make_plan(optimiser=name, mixed_precision="bf16")


def test_a_plan_is_checked_without_torch() -> None:
    code = (
        "import sys\n"
        "from trainer.plan import TrainingPlan\n"
        "TrainingPlan.model_validate({'base': {'path': 'b'}, 'data': {'folder': 'd'}})\n"
        "print('torch' in sys.modules)"
    )
    home = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=home, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
