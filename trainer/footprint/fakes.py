"""A base model of fake tensors: it computes shapes and lifetimes, holds no bytes and needs no weights."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from trainer.adapters.stored import store
from trainer.adapters.targets import unet_targets
from trainer.bases import autoencoding, skeleton
from trainer.bases.base_model import DTYPES, BaseModel
from trainer.bases.family import Identity
from trainer.bases.find import Source
from trainer.bases.prompts import WINDOW as WINDOW
from trainer.bases.text import TextReader
from trainer.plans.compute import BaseFormat, Precision

_ATTENTION = functional.scaled_dot_product_attention

META = torch.device("meta")
"""Where tensors have shapes and lifetimes but no bytes."""


@contextmanager
def blockwise_attention() -> Iterator[None]:
    """While it lasts, attention on the meta device saves no scores, as no fused kernel does.

    PyTorch would take its plain formula there, for want of a kernel. A mode for functions would not do: in a
    backward pass, where activations are computed again, there is none.
    """
    functional.scaled_dot_product_attention = _attention
    try:
        yield
    finally:
        functional.scaled_dot_product_attention = _ATTENTION


def _attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    if query.device != META:
        return _ATTENTION(
            query, key, value, attn_mask, dropout_p, is_causal, scale=scale, enable_gqa=enable_gqa
        )
    found: tuple[Tensor, Tensor] = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
        query, key, value, dropout_p, is_causal, attn_mask=attn_mask, scale=scale
    )
    return found[0]


def fill(network: nn.Module, dtype: torch.dtype | None = None) -> nn.Module:
    """Gives a network frozen tensors on the meta device, each with a storage of its own, laid out as on a GPU.

    Args:
        network: changed in place.
        dtype: of its parameters; None keeps theirs.
    """
    for module in network.modules():
        for name, parameter in module.named_parameters(recurse=False):
            module.register_parameter(name, nn.Parameter(_empty(parameter, dtype), requires_grad=False))
        for name, buffer in module.named_buffers(recurse=False):
            module._buffers[name] = _empty(buffer, None)
    return network.eval()


def base_model(source: Source, precision: Precision, form: BaseFormat = "auto") -> BaseModel:
    """A base model of a source's architecture, as it would lie on a device."""
    dtype = DTYPES[precision]
    networks = {part: fill(network, dtype) for part, network in skeleton.networks(source).items()}
    store(networks["unet"], unet_targets(networks["unet"]), form)
    vae = fill(skeleton.vae(source), torch.float32)
    autoencoding.settle(vae, dtype)
    return BaseModel(
        identity=Identity(source.family, source.prediction_type, source.zero_terminal_snr, ""),
        tokenizer=None,
        text_encoder=networks["text_encoder"],
        vae=vae,
        unet=networks["unet"],
        schedule_config={},
        alphas_cumprod=torch.ones(1000, dtype=torch.float64),
        device=META,
        dtype=dtype,
        text_encoder_2=networks.get("text_encoder_2"),
    )


def states(encoder: nn.Module, rows: int, windows: int) -> Tensor:
    """Hidden states of so many captions, read a window at a time and joined, as prompts are."""
    tokens = torch.zeros(rows, WINDOW + 2, dtype=torch.int64)
    final: Any = TextReader(None, encoder).final_norm
    states = [final(encoder(tokens, output_hidden_states=True).hidden_states[-1]) for _ in range(windows)]
    if windows == 1:
        return cast(Tensor, states[0])
    return torch.cat([states[0][:, :1], *(state[:, 1:-1] for state in states), states[-1][:, -1:]], dim=1)


def _empty(like: Tensor, dtype: torch.dtype | None) -> Tensor:
    kept = torch.channels_last if like.dim() == 4 else torch.contiguous_format
    return torch.empty(like.shape, dtype=dtype or like.dtype, device=META, memory_format=kept)
