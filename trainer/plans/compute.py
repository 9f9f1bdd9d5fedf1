"""The section [plan.compute]."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import model_validator

from trainer.plans.fields import Frozen, means, same, shared

Precision = Literal["no", "fp16", "bf16"]
Attention = Literal["sdpa", "xformers", "flash"]
Device = Literal["auto", "cpu", "cuda"]
BaseFormat = Literal["auto", "fp32", "bf16", "fp16", "fp8", "int8", "nf4"]
Offload = Literal["auto", "off", "all"]


class ComputePlan(Frozen):
    """How the arithmetic is done."""

    mixed_precision: Precision = shared("no", same("mixed_precision"))
    """Number format of the frozen base and of activations; adapters stay in float32."""
    base_format: BaseFormat = shared(
        "auto", means("fp8_base", "fp8_base_unet", row="quantised base, fp8 base, QLoRA")
    )
    """How the frozen weights of the U-Net's attention and feed-forward layers are stored; auto: as mixed_precision."""
    gradient_checkpointing: bool | Literal["auto"] = shared(
        False, same("gradient_checkpointing", may_change=True)
    )
    """Recompute activations in the backward pass: less memory, more time; "auto" does so where it lets more fit."""
    attention: Attention = shared(
        "sdpa", means("xformers", "sdpa", "mem_eff_attn", row="attention", may_change=True)
    )
    """How the U-Net's attention is computed: PyTorch's choice, the package xformers, or FlashAttention alone."""
    device: Device = shared("auto", means(row="CPU only", may_change=True))
    """Where everything is computed; auto takes CUDA where there is one."""

    offload: Offload = shared("auto", means(row="low VRAM, CPU offload", may_change=True))
    """Whether networks that idle leave the device: all, off, or auto, where it has little room beside them."""

    compile: bool = shared(False, means(row="torch.compile", may_change=True))
    """Compile the U-Net's transformer blocks once for all packs: some minutes at the start, fewer launches a step."""

    @property
    def recomputes(self) -> bool:
        """Whether activations are computed again, or may be."""
        return self.gradient_checkpointing is not False

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.attention == "flash" and self.mixed_precision == "no":
            raise ValueError("attention = 'flash' needs mixed_precision fp16 or bf16")
        if self.attention != "sdpa" and self.device == "cpu":
            raise ValueError(f"attention = '{self.attention}' needs CUDA; choose 'sdpa' with device = 'cpu'")
        return self
