"""Which of LyCORIS' algorithms, arguments and ranks a plan may ask for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from trainer.plan import TrainingPlan

Plans = Callable[..., TrainingPlan]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"algorithm": "dylora", "rank": 6},
            r"rank = 6 must be a multiple of algorithm_args.dylora.block_size = 4",
        ),
        (
            {
                "algorithm": "dylora",
                "rank": 6,
                "algorithm_args": {"dylora": {"block_size": 3}},
                "conv_rank": 4,
            },
            r"conv_rank = 4 must be a multiple of .*block_size = 3",
        ),
        (
            {"algorithm_args": {"dylora": {"block_size": 0}}, "algorithm": "dylora"},
            r"block_size must be a whole number of at least 1, but got 0",
        ),
        (
            {"algorithm_args": {"glora": {"use_tucker": True}}},
            r"glora.use_tucker: 'glora' takes no such argument",
        ),
        ({"algorithm": "loha", "dropout": 0.1}, r"dropout = 0.1 acts with algorithm = 'lora' only"),
        (
            {"algorithm_args": {"lokr": {"facter": 8}}},
            r"algorithm_args.lokr.facter: .*choose among: .*factor",
        ),
        ({"algorithm_args": {"lora": {"factor": 8}}}, r"algorithm_args.lora: .*choose among: loha, lokr"),
        (
            {"algorithm": "loha", "lora_plus_ratio": 4.0},
            r"lora_plus_ratio = 4.0 acts with lora.algorithm = 'lora'",
        ),
        (
            {"algorithm": "ia3", "max_weight_norm": 1.0},
            r"max_weight_norm = 1.0 acts with lora.algorithm = 'lora'",
        ),
        ({"algorithm": "dora"}, r"'lora', 'loha'"),
        ({"algorithm": "norm"}, r"'norm' is not offered: .*train_norm.*; choose among: lora, loha, .*dylora"),
        ({"algorithm": "tlora"}, r"'tlora' is not offered: .*timestep"),
    ],
)
def test_impossible_algorithms_are_refused(make_plan: Plans, fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_plan(**fields)
