"""Which noise a plan may ask for."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from trainer.plans.noise import NoisePlan


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"min_timestep": 500, "max_timestep": 500}, "must be below max_timestep, but got 500 >= 500"),
        ({"debiased": True, "min_snr_gamma": 5}, "both weigh the timesteps"),
    ],
)
def test_a_bad_value_is_told(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        NoisePlan(**fields)


def test_an_offset_of_any_kind_leaves_noise_and_timestep_plain() -> None:
    assert NoisePlan(offset=0.1, adaptive_scale=-0.2, min_snr_gamma=5).plain
    assert not NoisePlan(multires_iterations=6).plain
    assert not NoisePlan(max_timestep=900).plain
