"""Which networks a plan may ask for."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from trainer.plans.network import LoraPlan


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"rank": 0}, "greater than or equal to 1"),
        ({"alpha_over_rank": 1.5}, "less than or equal to 1"),
        ({"unet": False}, "nothing would be trained"),
    ],
)
def test_a_bad_value_is_told(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        LoraPlan(**fields)


def test_alpha_is_a_share_of_the_rank() -> None:
    assert LoraPlan(rank=8, alpha_over_rank=0.25).alpha == 2.0
