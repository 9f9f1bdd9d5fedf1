"""The section [plan.lora], and what a network cannot be asked for."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import field_validator, model_validator

from trainer.plans.algorithms import argument_problems, offered, rank_problems
from trainer.plans.fields import Frozen, Switchable, field, means, same, shared
from trainer.plans.optimiser import OptimiserPlan
from trainer.plans.optimiser_kinds import OPTIMISERS

Algorithm = Literal["lora", "loha", "lokr", "ia3", "diag-oft", "boft", "full", "glora", "dylora"]
Layers = Literal["default", "all"]
Scaling = Literal["alpha/rank", "alpha/sqrt(rank)"]
MOST_DIMENSIONS = 1024
"""Largest rank."""


class LoraPlan(Frozen):
    """Shape of the adapter: delta W = scale B A."""

    rank: int = field(16, means("network_dim", unit="dimensions", row="rank"), ge=1, le=MOST_DIMENSIONS)
    """Inner dimension (``network_dim``)."""
    alpha_over_rank: float = field(
        0.5, means("network_alpha", unit="share of the rank", row="alpha"), gt=0, le=1
    )
    """``network_alpha`` as a share of the rank."""
    alpha: Annotated[float | None, Switchable] = field(
        None, means("network_alpha", unit="alpha", row="alpha"), gt=0, le=MOST_DIMENSIONS
    )
    """``network_alpha`` itself, in place of its share: a learning rate of Adam that is best at one rank then is best at
    every rank (``benchmarks/rank_rate.py``). None is ``off``."""
    scaling: Scaling = field("alpha/rank", means("network_args: rs_lora", row="rsLoRA"))
    """The scale of B A, of convolutions as well: alpha / rank, or alpha / sqrt(rank) (rsLoRA; Kalajdzievski 2023).
    Files hold the alpha that gives it in readers, which all divide by the rank."""
    dora: bool = field(False, means("network_args: dora_wd", row="DoRA"))
    """Whether each output's weights also learn their norm m: W' = m (W + scale B A) / |W + scale B A| (DoRA; Liu et al.
    2024, eq. 5). m begins at the base model's norm."""
    unet: bool = field(True, means("network_train_text_encoder_only", row="text encoder only"))
    """Whether the U-Net gets a LoRA."""
    text_encoder: bool = field(False, means("network_train_unet_only", row="U-Net only"))
    """Whether the text encoder gets a LoRA; on SDXL, both of them."""
    layers: Layers = field("default", means(row="target modules"))
    """Which layers of a transformer get a LoRA: the attention's, as diffusers and PEFT choose them, or ``all``: the
    feed-forward layers as well. A U-Net's blocks have both; its convolutions get one by ``conv_rank``."""
    conv_rank: Annotated[int | None, Switchable] = field(
        None, means("network_args: conv_dim", unit="dimensions", row="conv dim"), ge=1, le=MOST_DIMENSIONS
    )
    """Rank of the 3x3 convolutions (``conv_dim``); their blocks' other layers then get ``rank``. None is ``off``."""
    conv_alpha_over_rank: float = field(
        0.5, means("network_args: conv_alpha", unit="share of conv_rank", row="conv alpha"), gt=0, le=1
    )
    """``conv_alpha`` as a share of ``conv_rank``."""
    dropout: float = field(0.0, same("network_dropout", unit="probability", row="LoRA dropout"), ge=0, lt=1)
    """Probability of dropping each element of A x in training (``network_dropout``)."""
    rank_dropout: float = field(
        0.0, means("network_args: rank_dropout", unit="probability", row="rank dropout"), ge=0, lt=1
    )
    """Probability of dropping each of the rank's dimensions at a presentation."""
    module_dropout: float = field(
        0.0, means("network_args: module_dropout", unit="probability", row="module dropout"), ge=0, lt=1
    )
    """Probability of leaving out a layer's whole low-rank term at a presentation."""
    block_ranks: dict[str, int] = shared(
        {}, means("network_args: block_dims", unit="dimensions", row="per-block dims")
    )
    """Ranks of other size by block of the U-Net, e.g. ``{ mid_block = 8, "up_blocks.1" = 32 }``; 0 adapts none of
    its Linear and 1x1 layers. Alpha follows, so that the scale stays; the longest name that fits a layer counts."""
    block_lrs: dict[str, float] = shared(
        {},
        means(
            "network_args: down_lr_weight",
            "network_args: mid_lr_weight",
            "network_args: up_lr_weight",
            unit="factor",
            row="per-block LRs",
        ),
    )
    """Factors on ``optimiser.unet_lr`` by block of the U-Net; 0 leaves a block without a LoRA."""
    freeze: tuple[str, ...] = shared((), means(row="freeze / unfreeze blocks"))
    """Blocks of the U-Net that get no LoRA, e.g. ``["down_blocks", "mid_block"]``."""
    start: Path | None = shared(
        None, means("network_weights", row="starting from another LoRA", may_change=True)
    )
    """A file of any format and algorithm whose difference is the beginning. Where its rank is smaller, other dimensions
    begin as new ones; what a LoRA of the plan's ranks cannot hold to 0.1 % is refused with the rank that would."""
    algorithm: Algorithm = field(
        "lora", means("network_module", "network_args: algo", row="LoHa / LoKr / other algorithms")
    )
    """LyCORIS computes all but ``lora``, beside the pack (``algo``); rank and alpha mean what they mean there.
    ``full`` and ``ia3`` have no rank, ``dylora`` wants ranks that are multiples of its ``block_size``."""
    algorithm_args: dict[str, dict[str, bool | int | float]] = shared(
        {}, means("network_args", row="LoHa / LoKr / other algorithms, arguments")
    )
    """Keyword arguments by algorithm, e.g. ``{ lokr = { factor = 8 } }``; each acts with its own algorithm only."""

    @field_validator("algorithm", mode="before")
    @classmethod
    def _offered(cls, name: Any) -> Any:
        return offered(name, get_args(Algorithm))

    @property
    def scale(self) -> float:
        """What multiplies B A."""
        share = self.alpha_over_rank if self.alpha is None else self.alpha / self.rank
        return share * self._gain(self.rank)

    @property
    def conv_scale(self) -> float:
        """The same of 3x3 convolutions; 1 where they are left out."""
        return self.conv_alpha_over_rank * self._gain(self.conv_rank) if self.conv_rank else 1.0

    @property
    def file_alpha(self) -> float:
        """``network_alpha`` as files hold it: the scale times the rank."""
        return self.scale * self.rank

    def _gain(self, rank: int) -> float:
        """The scale where alpha is the rank."""
        return math.sqrt(rank) if self.scaling == "alpha/sqrt(rank)" else 1.0

    @property
    def whole_matrix(self) -> bool:
        """Whether LoKr's second factor is a whole matrix, so that rank and alpha mean nothing."""
        return bool(self.algorithm == "lokr" and self.algorithm_args.get("lokr", {}).get("full_matrix"))

    @model_validator(mode="after")
    def _trains_something(self) -> Self:
        if not (self.unet or self.text_encoder):
            raise ValueError("unet and text_encoder are both false: nothing would be trained")
        if problems := list(shape_problems(self)):
            raise ValueError("; ".join(problems))
        return self


_BLOCK = re.compile(r"([a-z]\w*_)?(blocks|layers|refiner)(\.\d+(\..+)?)?|mid_block(\..+)?")


def shape_problems(plan: LoraPlan) -> Iterator[str]:
    """What is wrong with the network itself."""
    tables = {
        "freeze": plan.freeze,
        "block_ranks": tuple(plan.block_ranks),
        "block_lrs": tuple(plan.block_lrs),
    }
    for leaf, blocks in tables.items():
        for block in blocks:
            if not _BLOCK.fullmatch(block):
                yield (
                    f"{leaf}: there is no block {block!r} in a U-Net or transformer; blocks are named as diffusers "
                    "does: down_blocks.0, down_blocks.1, ..., mid_block, up_blocks.0, ..., or transformer_blocks.0, "
                    "..., or a part of one, such as down_blocks.1.attentions.0"
                )
        if blocks and not plan.unet:
            yield f"{leaf} acts on the U-Net, but unet is false"
    if plan.alpha is not None and plan.alpha_over_rank != type(plan).model_fields["alpha_over_rank"].default:
        yield f"alpha = {plan.alpha:g} and alpha_over_rank = {plan.alpha_over_rank:g} say the same; keep one"
    if plan.conv_rank is not None and not plan.unet:
        yield f"conv_rank = {plan.conv_rank} acts on the U-Net, but unet is false; leave it out"
    yield from _range_problems(plan)
    yield from _algorithm_problems(plan)


def rate_problems(lora: LoraPlan, optimiser: OptimiserPlan) -> Iterator[str]:
    """Which learning rates the optimiser cannot have."""
    adaptive = OPTIMISERS[optimiser.name].adaptive
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
        if not 0 <= rank <= MOST_DIMENSIONS:
            yield f"block_ranks.{block} must be between 0 and {MOST_DIMENSIONS}, but got {rank}"
    for block, factor in plan.block_lrs.items():
        if not 0 <= factor <= 100:
            yield f"block_lrs.{block} must be between 0 and 100, but got {factor}"


def _algorithm_problems(plan: LoraPlan) -> Iterator[str]:
    yield from argument_problems(plan.algorithm_args)
    if plan.algorithm == "lora":
        yield from _dora_problems(plan)
        return
    if plan.algorithm == "dylora":
        ranks = {"rank": plan.rank, "conv_rank": plan.conv_rank or 0}
        ranks |= {f"block_ranks.{block}": rank for block, rank in plan.block_ranks.items()}
        yield from rank_problems(ranks, plan.algorithm_args.get("dylora", {}))
    for leaf, rate in _dropouts(plan):
        yield f"{leaf} = {rate} acts with algorithm = 'lora' only, but got {plan.algorithm!r}; set it to 0"
    if plan.start is not None:
        yield f"start acts with algorithm = 'lora' only, but got {plan.algorithm!r}; leave it out"
    if plan.dora:
        yield (
            f"dora acts with algorithm = 'lora' only, but got {plan.algorithm!r}; set it to false, "
            "or give algorithm_args the algorithm's own weight_decompose"
        )
    if plan.scaling != "alpha/rank":
        yield (
            f"scaling = {plan.scaling!r} acts with algorithm = 'lora' only, but got {plan.algorithm!r}; "
            "set it to 'alpha/rank', or give algorithm_args the algorithm's own rs_lora"
        )


def _dora_problems(plan: LoraPlan) -> Iterator[str]:
    """The norm is taken of the whole W + scale B A, and begins at the base model's."""
    if not plan.dora:
        return
    for leaf, rate in _dropouts(plan):
        yield f"{leaf} = {rate} leaves out parts of B A, of which dora takes the norm; set one of them to 0 or false"
    if plan.start is not None:
        yield "start has no norms with which dora could begin; leave one of them out"


def _dropouts(plan: LoraPlan) -> Iterator[tuple[str, float]]:
    """Those that are not 0."""
    rates = {
        "dropout": plan.dropout,
        "rank_dropout": plan.rank_dropout,
        "module_dropout": plan.module_dropout,
    }
    yield from ((leaf, rate) for leaf, rate in rates.items() if rate)
