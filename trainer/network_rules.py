"""What a network cannot be asked for (pure)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from trainer import optimisers

if TYPE_CHECKING:
    from trainer.plans.network import LoraPlan
    from trainer.plans.optimiser import OptimiserPlan

_BLOCK = re.compile(r"(down_blocks|up_blocks)(\.\d+(\..+)?)?|mid_block(\..+)?")

NOT_OFFERED = {
    "norm": (
        "it is no algorithm of LyCORIS but train_norm, which trains normalisation layers beside one; "
        "the pack adapts Linear and convolution layers"
    ),
    "tlora": "its rank follows the timestep of each row, which LyCORIS keeps in one global place for all rows",
}
"""LyCORIS modules that a pack cannot hold, and why."""


def offered(name: object, choices: Sequence[str]) -> object:
    """The algorithm's name.

    Raises:
        ValueError: it is known, but not offered; the message says why.
    """
    if isinstance(name, str) and name in NOT_OFFERED:
        raise ValueError(f"{name!r} is not offered: {NOT_OFFERED[name]}; choose among: {', '.join(choices)}")
    return name


def shape_problems(plan: LoraPlan) -> Iterator[str]:
    """What is wrong with the network itself."""
    tables = {
        "freeze": plan.freeze,
        "block_ranks": tuple(plan.block_ranks),
        "block_lrs": tuple(plan.block_lrs),
    }
    for field, blocks in tables.items():
        for block in blocks:
            if not _BLOCK.fullmatch(block):
                yield (
                    f"{field}: there is no block {block!r} in a U-Net; blocks are named as diffusers does: "
                    "down_blocks.0, down_blocks.1, ..., mid_block, up_blocks.0, ..., or a part of one, such as "
                    "down_blocks.1.attentions.0"
                )
        if blocks and not plan.unet:
            yield f"{field} acts on the U-Net, but unet is false"
    if plan.conv_rank is not None and not plan.unet:
        yield f"conv_rank = {plan.conv_rank} acts on the U-Net, but unet is false; leave it out"
    yield from _range_problems(plan)
    yield from _algorithm_problems(plan)


def rate_problems(lora: LoraPlan, optimiser: OptimiserPlan) -> Iterator[str]:
    """Which learning rates the optimiser cannot have."""
    adaptive = optimisers.OPTIMISERS[optimiser.name].adaptive
    if adaptive and any(factor not in (0, 1) for factor in lora.block_lrs.values()):
        yield (
            f"lora.block_lrs needs several learning rates, but '{optimiser.name}' has one; "
            "use only the factors 0 and 1, or choose an optimiser that does not adapt its learning rate"
        )
    if lora.algorithm == "lora":
        return
    if optimiser.lora_plus_ratio != 1:
        yield (
            f"optimiser.lora_plus_ratio = {optimiser.lora_plus_ratio} acts with lora.algorithm = 'lora' only, "
            f"but got '{lora.algorithm}'; set it to 1"
        )
    if optimiser.max_weight_norm is not None:
        yield (
            f"optimiser.max_weight_norm = {optimiser.max_weight_norm} acts with lora.algorithm = 'lora' only, "
            f"but got '{lora.algorithm}'; leave it out"
        )


def _range_problems(plan: LoraPlan) -> Iterator[str]:
    for block, rank in plan.block_ranks.items():
        if not 0 <= rank <= 1024:
            yield f"block_ranks.{block} must be between 0 and 1024, but got {rank}"
    for block, factor in plan.block_lrs.items():
        if not 0 <= factor <= 100:
            yield f"block_lrs.{block} must be between 0 and 100, but got {factor}"


def _algorithm_problems(plan: LoraPlan) -> Iterator[str]:
    if plan.algorithm_args:
        from trainer import lycoris_slot

        yield from lycoris_slot.problems(plan.algorithm_args)
    if plan.algorithm == "lora":
        return
    if plan.algorithm == "dylora":
        from trainer import lycoris_slot

        ranks = {"rank": plan.rank, "conv_rank": plan.conv_rank or 0}
        ranks |= {f"block_ranks.{block}": rank for block, rank in plan.block_ranks.items()}
        yield from lycoris_slot.rank_problems(ranks, plan.algorithm_args.get("dylora", {}))
    rates = {
        "dropout": plan.dropout,
        "rank_dropout": plan.rank_dropout,
        "module_dropout": plan.module_dropout,
    }
    for field, rate in rates.items():
        if rate:
            yield f"{field} = {rate} acts with algorithm = 'lora' only, but got {plan.algorithm!r}; set it to 0"
    if plan.start is not None:
        yield f"start acts with algorithm = 'lora' only, but got {plan.algorithm!r}; leave it out"
