"""Which layers of a model get a LoRA (kohya's default choice)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

UNET_BLOCK = "attentions"
"""Attention blocks of a UNet2DConditionModel; kohya adapts their Linear and 1x1 layers by default."""
CONVOLUTION_BLOCKS = ("ResnetBlock2D", "Downsample2D", "Upsample2D")
"""Blocks whose layers kohya adapts too when a convolution rank is given: 3x3 at that rank, others at the plain one."""
TEXT_LAYERS = ("q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2")


def unet_targets(unet: nn.Module) -> list[str]:
    """Linear and 1x1 layers inside the attention blocks: 192 in SD 1.5."""
    return [
        name
        for name, module in unet.named_modules()
        if UNET_BLOCK in name.split(".")
        and (
            isinstance(module, nn.Linear) or (isinstance(module, nn.Conv2d) and module.kernel_size == (1, 1))
        )
    ]


def convolution_targets(unet: nn.Module) -> list[str]:
    """Linear and Conv2d layers inside the convolution blocks: 86 in SD 1.5, 50 of them 3x3."""
    return [
        f"{name}.{inner}"
        for name, block in unet.named_modules()
        if type(block).__name__ in CONVOLUTION_BLOCKS
        for inner, module in block.named_modules()
        if isinstance(module, nn.Linear | nn.Conv2d)
    ]


def text_targets(text_encoder: nn.Module) -> list[str]:
    """Attention and feed-forward layers of a CLIP text encoder: 72 in SD 1.5."""
    return [
        name
        for name, module in text_encoder.named_modules()
        if isinstance(module, nn.Linear) and name.rsplit(".", 1)[-1] in TEXT_LAYERS
    ]


def norm_targets(model: nn.Module) -> list[str]:
    """Normalisation layers with weights, which LyCORIS trains with ``train_norm``."""
    return [
        name
        for name, module in model.named_modules()
        if isinstance(module, nn.GroupNorm | nn.LayerNorm) and module.weight is not None
    ]


def weighted(model: nn.Module) -> list[str]:
    """All Linear and Conv2d layers."""
    return [name for name, module in model.named_modules() if isinstance(module, nn.Linear | nn.Conv2d)]


def linear_in(model: nn.Module, blocks: Sequence[str], ends: Sequence[str] | None = None) -> list[str]:
    """Linear layers of a transformer.

    Args:
        model: the transformer.
        blocks: lists of blocks, the first word of a layer's name.
        ends: what a layer's name is or ends in, whole words, as PEFT matches them; None: all.
    """
    return [
        name
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear)
        and name.split(".")[0] in blocks
        and (ends is None or any(f".{name}".endswith(f".{end}") for end in ends))
    ]
