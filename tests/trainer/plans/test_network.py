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
        ({"scaling": "alpha"}, "alpha/sqrt"),
        (
            {"dora": True, "dropout": 0.1},
            "dropout = 0.1 leaves out parts of B A, of which dora takes the norm",
        ),
        ({"dora": True, "rank_dropout": 0.1}, "rank_dropout = 0.1 leaves out"),
        ({"dora": True, "module_dropout": 0.1}, "module_dropout = 0.1 leaves out"),
        ({"dora": True, "start": "some.safetensors"}, "start has no norms"),
        ({"dora": True, "algorithm": "loha"}, "dora acts with algorithm = 'lora' only, but got 'loha'"),
        (
            {"scaling": "alpha/sqrt(rank)", "algorithm": "lokr"},
            "scaling = .* acts with algorithm = 'lora' only",
        ),
    ],
)
def test_a_bad_value_is_told(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        LoraPlan(**fields)


def test_alpha_is_a_share_of_the_rank() -> None:
    assert LoraPlan(rank=8, alpha_over_rank=0.25).file_alpha == 2.0


def test_alpha_itself_is_held_whatever_the_rank() -> None:
    assert [LoraPlan(rank=rank, alpha=8.0).scale for rank in (4, 8, 32)] == [2.0, 1.0, 0.25]
    assert LoraPlan(rank=16, alpha=8.0, scaling="alpha/sqrt(rank)").scale == 2.0
    assert LoraPlan(rank=32, alpha=8.0).file_alpha == 8.0
    with pytest.raises(ValidationError, match="alpha = 8 and alpha_over_rank = 1 say the same; keep one"):
        LoraPlan(alpha=8.0, alpha_over_rank=1.0)


def test_rslora_divides_alpha_by_the_root_of_the_rank() -> None:
    plan = LoraPlan(
        rank=16, alpha_over_rank=0.5, conv_rank=4, conv_alpha_over_rank=0.25, scaling="alpha/sqrt(rank)"
    )
    assert (plan.scale, plan.conv_scale) == (8 / 4, 1 / 2)
    assert plan.file_alpha / plan.rank == plan.scale


def test_alpha_over_the_rank_is_the_scale_unless_asked_otherwise() -> None:
    plan = LoraPlan(rank=16, alpha_over_rank=0.5)
    assert (plan.scale, plan.conv_scale) == (0.5, 1.0)
