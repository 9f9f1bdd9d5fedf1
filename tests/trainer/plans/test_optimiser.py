"""What an optimiser may be asked for."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from pydantic import ValidationError

from trainer.plans.optimiser import OptimiserPlan


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"name": "adam"}, "'adamw', 'adamw8bit', 'paged_adamw8bit', .* 'adafactor' or 'prodigy'"),
        ({"unet_lr": float("inf")}, "finite"),
    ],
)
def test_a_bad_value_is_told(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        OptimiserPlan(**fields)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"name": "lion", "args": {"eps": 1e-8}},
            "'lion' takes no such argument; choose among: betas, decoupled",
        ),
        ({"args": {"lr": 1e-3}}, "args.lr is set by optimiser.unet_lr"),
        ({"args": {"weight_decay": 0.1}}, "args.weight_decay is set by optimiser.weight_decay"),
        ({"args": {"betas": [0.9, 2.0]}}, "'adamw' refuses betas = .*Invalid beta parameter"),
        ({"name": "lion", "args": {"betas": [0.9, 2.0]}}, "'lion' refuses"),
        ({"name": "adafactor", "args": {"relative_step": True}}, "Cannot combine manual `lr`"),
        ({"name": "dadaptation", "lora_plus_ratio": 4}, "lora_plus_ratio = 4.0 needs two learning rates"),
        ({"name": "prodigy", "lora_plus_ratio": 4}, "'prodigy' has one"),
    ],
)
def test_what_an_optimiser_cannot_do_is_told(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        OptimiserPlan(**fields)


def test_plans_without_arguments_load_no_library() -> None:
    code = (
        "import sys; from trainer.plans.optimiser import OptimiserPlan; OptimiserPlan(name='dadapt_adam');"
        "print({'torch', 'bitsandbytes', 'dadaptation', 'transformers'} & set(sys.modules))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "set()"
