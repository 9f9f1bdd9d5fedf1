"""The training plan: everything that decides what a trial's LoRA will be."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

OptimiserName = Literal["adamw", "adamw8bit", "lion", "prodigy"]
ScheduleName = Literal[
    "linear", "cosine", "cosine_with_restarts", "polynomial", "constant", "constant_with_warmup"
]
Precision = Literal["no", "fp16", "bf16"]
Prediction = Literal["epsilon", "v_prediction"]
Attention = Literal["sdpa", "xformers", "flash"]
Device = Literal["auto", "cpu", "cuda"]


def _shared(default: Any = ..., **constraints: Any) -> Any:
    """A field on which all trials of a pack must agree, so that it cannot be searched."""
    return Field(default, json_schema_extra={"shared": True}, **constraints)


class Frozen(BaseModel):
    """Plans never change after they were checked, and a misspelt field is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class BasePlan(Frozen):
    """The frozen base model."""

    path: Path = _shared()
    """SD 1.x, SD 2.x or SDXL: a diffusers folder, a single .safetensors file, or a hub name ``org/model``."""
    vae: Path | None = _shared(None)
    """A VAE that replaces the base's: a diffusers folder or a .safetensors file."""
    prediction_type: Prediction | None = _shared(None)
    """What the U-Net predicts; None takes the base's own statement (SD 2.x files make none: v_prediction)."""
    zero_terminal_snr: bool | None = _shared(None)
    """Rescale the noise schedule to end in pure noise (Lin et al. 2023); None takes the base's own statement."""
    clip_skip: int = Field(1, ge=1, le=3)
    """Which hidden state of the text encoder is read, counted from the end (1 = the last); SDXL takes 1 only."""


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
    """Whether the text encoder gets a LoRA; on SDXL, both of them."""

    @property
    def alpha(self) -> float:
        """``network_alpha`` in absolute terms."""
        return self.alpha_over_rank * self.rank

    @model_validator(mode="after")
    def _trains_something(self) -> Self:
        if not (self.unet or self.text_encoder):
            raise ValueError("unet and text_encoder are both false: nothing would be trained")
        return self


class OptimiserPlan(Frozen):
    """How gradients become updates."""

    name: OptimiserName = "adamw"
    unet_lr: float = Field(1e-4, gt=0, le=1)
    """Learning rate of the U-Net on AdamW's scale; Lion takes a third, Prodigy finds its own."""
    text_lr_over_unet_lr: float = Field(0.5, gt=0, le=10)
    """Learning rate of the text encoder as a multiple of the U-Net's."""
    text2_lr_over_unet_lr: float | None = Field(None, gt=0, le=10)
    """The same for SDXL's second text encoder; None takes that of the first."""
    weight_decay: float = Field(0.01, ge=0, lt=1)
    max_grad_norm: float = Field(1.0, ge=0)
    """Gradients of a slot are scaled down to this 2-norm; 0 leaves them alone."""

    @property
    def text2_share(self) -> float:
        """Learning rate of SDXL's second text encoder as a multiple of the U-Net's."""
        own = self.text2_lr_over_unet_lr
        return self.text_lr_over_unet_lr if own is None else own


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
    attention: Attention = _shared("sdpa")
    """How the U-Net's attention is computed: PyTorch's choice, the package xformers, or FlashAttention alone."""
    device: Device = _shared("auto")
    """Where everything is computed; auto takes CUDA where there is one."""

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.attention == "flash" and self.mixed_precision == "no":
            raise ValueError("attention = 'flash' needs mixed_precision fp16 or bf16")
        if self.attention != "sdpa" and self.device == "cpu":
            raise ValueError(f"attention = '{self.attention}' needs CUDA; choose 'sdpa' with device = 'cpu'")
        return self


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
        on_cpu = self.compute.device == "cpu"
        if self.optimiser.name == "adamw8bit" and self.compute.mixed_precision == "no" and not on_cpu:
            import torch

            if torch.cuda.is_available():
                raise ValueError(
                    "optimiser.name 'adamw8bit' needs compute.mixed_precision fp16 or bf16 on CUDA"
                )
        return self
