"""Which schedules a plan may ask for."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from trainer.plans.schedule import SchedulePlan


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"name": "constant", "warmup_share": 0.1}, "cannot act with name = 'constant'"),
        ({"name": "constant", "warmup_steps": 5}, "warmup_steps = 5 cannot act with name = 'constant'"),
        ({"warmup_share": 0.1, "warmup_steps": 5}, "say the same thing twice"),
        ({"name": "staged"}, "'staged' needs stages"),
        ({"stages": [{"epochs": 1}]}, "stages act only with name = 'staged'"),
    ],
)
def test_a_bad_value_is_told(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        SchedulePlan(**fields)
