"""The section [plan.lora]."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, Self, get_args

from pydantic import Field, field_validator, model_validator

from trainer import network_rules
from trainer.plans.fields import Frozen, shared

Algorithm = Literal["lora", "loha", "lokr", "ia3", "diag-oft", "boft", "full", "glora", "dylora"]


class LoraPlan(Frozen):
    """Shape of the adapter: delta W = (alpha / rank) B A."""

    rank: int = Field(16, ge=1, le=1024)
    """Inner dimension (``network_dim``)."""
    alpha_over_rank: float = Field(0.5, gt=0, le=1)
    """``network_alpha`` as a share of the rank; the LoRA's effective scale."""
    unet: bool = True
    """Whether the U-Net gets a LoRA."""
    text_encoder: bool = False
    """Whether the text encoder gets a LoRA; on SDXL, both of them."""
    conv_rank: int | None = Field(None, ge=1, le=1024)
    """Rank of the 3x3 convolutions (``conv_dim``); their blocks' other layers then get ``rank``. None is off."""
    conv_alpha_over_rank: float = Field(0.5, gt=0, le=1)
    """``conv_alpha`` as a share of ``conv_rank``."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Probability of dropping each element of A x in training (``network_dropout``)."""
    rank_dropout: float = Field(0.0, ge=0, lt=1)
    """Probability of dropping each of the rank's dimensions at a presentation."""
    module_dropout: float = Field(0.0, ge=0, lt=1)
    """Probability of leaving out a layer's whole low-rank term at a presentation."""
    block_ranks: dict[str, int] = shared({})
    """Ranks of other size by block of the U-Net, e.g. ``{ mid_block = 8, "up_blocks.1" = 32 }``; 0 adapts none of
    its Linear and 1x1 layers. Alpha follows; the longest name that fits a layer counts."""
    block_lrs: dict[str, float] = shared({})
    """Factors on ``optimiser.unet_lr`` by block of the U-Net; 0 leaves a block without a LoRA."""
    freeze: tuple[str, ...] = shared(())
    """Blocks of the U-Net that get no LoRA, e.g. ``["down_blocks", "mid_block"]``."""
    start: Path | None = shared(None)
    """A LoRA (format of kohya, diffusers or PEFT) whose weights are the beginning; its ranks must be the plan's."""
    algorithm: Algorithm = "lora"
    """LyCORIS computes all but ``lora``, beside the pack (``algo``); rank and alpha mean what they mean there.
    ``full`` and ``ia3`` have no rank, ``dylora`` wants ranks that are multiples of its ``block_size``."""
    algorithm_args: dict[str, dict[str, bool | int | float]] = shared({})
    """Keyword arguments by algorithm, e.g. ``{ lokr = { factor = 8 } }``; each acts with its own algorithm only."""

    @field_validator("algorithm", mode="before")
    @classmethod
    def _offered(cls, name: Any) -> Any:
        return network_rules.offered(name, get_args(Algorithm))

    @property
    def alpha(self) -> float:
        """``network_alpha`` in absolute terms."""
        return self.alpha_over_rank * self.rank

    @model_validator(mode="after")
    def _trains_something(self) -> Self:
        if not (self.unet or self.text_encoder):
            raise ValueError("unet and text_encoder are both false: nothing would be trained")
        if problems := list(network_rules.shape_problems(self)):
            raise ValueError("; ".join(problems))
        return self
