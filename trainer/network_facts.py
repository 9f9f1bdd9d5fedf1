"""What a LoRA file says of its network, in sd-scripts' words (pure)."""

from __future__ import annotations

import json

from trainer.plans.network import LoraPlan


def network_facts(plan: LoraPlan) -> dict[str, object]:
    """``ss_network_module``, ``ss_network_args`` and ``ss_network_dropout``."""
    arguments: dict[str, object] = {}
    if plan.algorithm != "lora":
        arguments = {"algo": plan.algorithm, **plan.algorithm_args.get(plan.algorithm, {})}
    if plan.conv_rank is not None:
        arguments |= {"conv_dim": plan.conv_rank, "conv_alpha": plan.conv_alpha_over_rank * plan.conv_rank}
    for name, rate in (("rank_dropout", plan.rank_dropout), ("module_dropout", plan.module_dropout)):
        if rate:
            arguments[name] = rate
    return {
        "ss_network_module": "networks.lora" if plan.algorithm == "lora" else "lycoris.kohya",
        "ss_network_args": json.dumps({key: str(value) for key, value in arguments.items()}),
        "ss_network_dropout": plan.dropout or None,
    }
