"""The training plan: everything that decides what a trial's LoRA will be."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from trainer import network_rules

OptimiserName = Literal["adamw", "adamw8bit", "lion", "prodigy"]
ScheduleName = Literal[
    "linear", "cosine", "cosine_with_restarts", "polynomial", "constant", "constant_with_warmup"
]
Precision = Literal["no", "fp16", "bf16"]
Algorithm = Literal["lora", "loha", "lokr", "ia3", "diag-oft", "boft"]


def _shared(default: Any = ..., **constraints: Any) -> Any:
    """A field on which all trials of a pack must agree, so that it cannot be searched."""
    return Field(default, json_schema_extra={"shared": True}, **constraints)


class Frozen(BaseModel):
    """Plans never change after they were checked, and a misspelt field is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class MergedLora(Frozen):
    """A LoRA that becomes part of the base model."""

    file: Path
    """A safetensors file in kohya's format, made for the same family."""
    weight: float = Field(1.0, ge=-10, le=10)
    """Its strength: W += weight * alpha / rank * up down."""


class BasePlan(Frozen):
    """The frozen base model."""

    path: Path = _shared()
    """A Stable Diffusion 1.x folder in diffusers layout."""
    clip_skip: int = Field(1, ge=1, le=3)
    """Which hidden state of the text encoder is read, counted from the end (1 = the last)."""
    loras: tuple[MergedLora, ...] = _shared(())
    """LoRAs that are merged into the base model first, e.g. ``[{ file = "x.safetensors", weight = 0.7 }]``."""


class DataPlan(Frozen):
    """Which images are shown, how often and in what company."""

    folder: Path = _shared()
    """Folder with the sub-folders ``N_name``."""
    resolution: int = _shared(512, ge=16)
    """Side of the training square in pixels; with buckets, the square root of their area."""
    enable_bucket: bool = _shared(False)
    min_bucket_reso: int = _shared(256, ge=16)
    """Shortest bucket side in pixels."""
    max_bucket_reso: int = _shared(1024, ge=16)
    """Longest bucket side in pixels."""
    bucket_reso_steps: int = _shared(64, ge=1)
    """Grid of bucket sides in pixels."""
    repeats: int | None = Field(None, ge=1)
    """How often an epoch shows each image; None takes the N of the folder ``N_name``."""
    epochs: int = Field(10, ge=1)
    """Passes over images x repeats; a checkpoint is written and scored after each."""
    batch_size: int = Field(1, ge=1)
    """Images per optimiser step."""
    shuffle_caption: bool = False
    """Shuffle the comma-separated tags at every presentation."""
    keep_tokens: int = Field(0, ge=0)
    """How many leading tags stay in place while the others are shuffled."""

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if self.keep_tokens and not self.shuffle_caption:
            raise ValueError(
                f"keep_tokens = {self.keep_tokens} acts only with shuffle_caption = true; "
                "set that, or remove keep_tokens"
            )
        if self.min_bucket_reso > self.max_bucket_reso:
            raise ValueError(
                f"min_bucket_reso must be at most max_bucket_reso, "
                f"but got {self.min_bucket_reso} > {self.max_bucket_reso}"
            )
        return self


class LoraPlan(Frozen):
    """Shape of the adapter: delta W = (alpha / rank) B A."""

    rank: int = Field(16, ge=1, le=1024)
    """Inner dimension (``network_dim``)."""
    alpha_over_rank: float = Field(0.5, gt=0, le=1)
    """``network_alpha`` as a share of the rank; the LoRA's effective scale."""
    unet: bool = True
    """Whether the U-Net gets a LoRA."""
    text_encoder: bool = False
    """Whether the text encoder gets a LoRA."""
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
    block_ranks: dict[str, int] = _shared({})
    """Ranks of other size by block of the U-Net, e.g. ``{ mid_block = 8, "up_blocks.1" = 32 }``; 0 adapts none of
    its Linear and 1x1 layers. Alpha follows; the longest name that fits a layer counts."""
    block_lrs: dict[str, float] = _shared({})
    """Factors on ``optimiser.unet_lr`` by block of the U-Net; 0 leaves a block without a LoRA."""
    freeze: tuple[str, ...] = _shared(())
    """Blocks of the U-Net that get no LoRA, e.g. ``["down_blocks", "mid_block"]``."""
    start: Path | None = _shared(None)
    """A LoRA file in kohya's format whose weights are the beginning; its ranks must be the plan's."""
    algorithm: Algorithm = "lora"
    """LyCORIS computes all but ``lora``, beside the pack (``algo``); rank and alpha mean what they mean there."""
    algorithm_args: dict[str, dict[str, bool | int | float]] = _shared({})
    """Keyword arguments by algorithm, e.g. ``{ lokr = { factor = 8 } }``; each acts with its own algorithm only."""

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


class OptimiserPlan(Frozen):
    """How gradients become updates."""

    name: OptimiserName = "adamw"
    unet_lr: float = Field(1e-4, gt=0, le=1)
    """Learning rate of the U-Net on AdamW's scale; Lion takes a third, Prodigy finds its own."""
    text_lr_over_unet_lr: float = Field(0.5, gt=0, le=10)
    """Learning rate of the text encoder as a multiple of the U-Net's."""
    weight_decay: float = Field(0.01, ge=0, lt=1)
    max_grad_norm: float = Field(1.0, ge=0)
    """Gradients of a slot are scaled down to this 2-norm; 0 leaves them alone."""


class SchedulePlan(Frozen):
    """How the learning rate moves over a trial."""

    name: ScheduleName = "constant_with_warmup"
    warmup_share: float = Field(0.0, ge=0, lt=1)
    """Share of all optimiser steps over which the learning rate rises from 0."""
    cycles: int = Field(1, ge=1, le=100)
    """Hard restarts of ``cosine_with_restarts``."""
    power: float = Field(1.0, gt=0)
    """Exponent of ``polynomial``."""

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if self.name == "constant" and self.warmup_share:
            raise ValueError(
                f"warmup_share = {self.warmup_share} cannot act with name = 'constant'; "
                "choose 'constant_with_warmup' or set warmup_share = 0"
            )
        return self


class NoisePlan(Frozen):
    """What is added to the latents, and how the loss weighs it."""

    offset: float = Field(0.0, ge=0, le=1)
    """noise += offset * randn(batch, channels, 1, 1)."""
    min_snr_gamma: float | None = Field(None, gt=0)
    """Min-SNR loss weight min(snr, gamma) / snr (Hang et al. 2023, eq. 7); None weighs all alike."""


class ComputePlan(Frozen):
    """How the arithmetic is done."""

    mixed_precision: Precision = _shared("no")
    """Number format of the frozen base and of activations; adapters stay in float32."""
    gradient_checkpointing: bool = _shared(False)
    """Recompute activations in the backward pass: less memory, more time."""


class TrainingPlan(Frozen):
    """One trial, complete: the same plan gives the same LoRA, to rounding, wherever it is trained."""

    base: BasePlan
    data: DataPlan
    lora: LoraPlan = LoraPlan()
    optimiser: OptimiserPlan = OptimiserPlan()
    schedule: SchedulePlan = SchedulePlan()
    noise: NoisePlan = NoisePlan()
    compute: ComputePlan = ComputePlan()
    seed: int = _shared(0, ge=0, lt=2**63)

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if problems := list(network_rules.rate_problems(self.lora, self.optimiser)):
            raise ValueError("; ".join(problems))
        if self.optimiser.name == "adamw8bit" and self.compute.mixed_precision == "no":
            import torch

            if torch.cuda.is_available():
                raise ValueError(
                    "optimiser.name 'adamw8bit' needs compute.mixed_precision fp16 or bf16 on CUDA"
                )
        return self
