"""How a U-Net's attention is computed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from trainer.bases.errors import BaseModelError
from trainer.plans.compute import Attention


def use(unet: Any, kind: Attention) -> None:
    """Switches a U-Net, which is on its device already, to a kind of attention; ``sdpa`` is diffusers' default.

    Raises:
        BaseModelError: the package, the device or the number format is missing.
    """
    if kind != "sdpa":
        if unet.device.type != "cuda":
            raise BaseModelError(
                f"compute.attention = {kind!r} needs CUDA, which this machine lacks; choose 'sdpa'."
            )
        _KINDS[kind](unet)


def _xformers(unet: Any) -> None:
    try:
        unet.enable_xformers_memory_efficient_attention()
    except (ImportError, ValueError, RuntimeError, NotImplementedError) as error:
        raise BaseModelError(
            "compute.attention = 'xformers' needs the package xformers built for this PyTorch and GPU "
            f"({str(error).splitlines()[0]}); `pip install xformers`, or choose 'sdpa'."
        ) from error


def _flash(unet: Any) -> None:
    if unet.dtype not in (torch.float16, torch.bfloat16):
        raise BaseModelError("compute.attention = 'flash' needs compute.mixed_precision fp16 or bf16.")
    from diffusers.models.attention_processor import AttnProcessor2_0
    from torch.nn.attention import SDPBackend, sdpa_kernel

    class FlashOnly(AttnProcessor2_0):  # type: ignore[misc]
        """PyTorch's own FlashAttention kernel and no other (Dao 2023)."""

        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            with sdpa_kernel(SDPBackend.FLASH_ATTENTION):
                return super().__call__(*args, **kwargs)

    unet.set_attn_processor(FlashOnly())


_KINDS: dict[str, Callable[[Any], None]] = {"xformers": _xformers, "flash": _flash}
