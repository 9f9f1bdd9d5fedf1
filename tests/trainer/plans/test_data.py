"""Which images a plan may ask for."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from trainer.plans.data import DataPlan


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"folder": ".", "keep_tokens": 1}, "keep_tokens = 1 acts only with shuffle_caption"),
        ({"folder": ".", "min_bucket_reso": 512, "max_bucket_reso": 256}, "512 > 256"),
        ({}, "give folder, folders or concepts"),
        (
            {"folder": ".", "enable_bucket": True, "min_bucket_reso": 250},
            "multiple of bucket_reso_steps = 64, but got 250",
        ),
        ({"folder": ".", "bucket_no_upscale": True}, "acts only with enable_bucket"),
        ({"folder": ".", "max_token_length": 100}, "75, 150 or 225"),
        ({"folder": ".", "prior_loss_weight": 0.5}, "act only on regularisation images"),
        ({"folder": ".", "prior_loss_epochs": 5}, "act only on regularisation images"),
        (
            {"folder": ".", "reg_folder": ".", "prior_loss_min_weight": 0.5},
            "acts only with prior_loss_epochs",
        ),
        ({"folder": ".", "reg_folder": ".", "prior_loss_epochs": 2, "prior_loss_min_weight": 2}, "2.0 > 1.0"),
        ({"folder": ".", "repeats": 0}, "greater than or equal to 1"),
        ({"folder": ".", "repeats": 1.5}, "integer"),
    ],
)
def test_a_bad_value_is_told(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        DataPlan(**fields)
