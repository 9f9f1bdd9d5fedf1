"""A base model of fake tensors: it computes shapes and lifetimes, holds no bytes and needs no weights."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from trainer.adapters.stored import store
from trainer.bases import autoencoding, skeleton
from trainer.bases.base_model import DTYPES, BaseModel
from trainer.bases.family import DENOISER, Identity
from trainer.bases.find import Source
from trainer.bases.layers import stored
from trainer.bases.process import Diffusion, Flow, Process
from trainer.bases.prompts import PromptRules
from trainer.bases.text import TextReader, TextReading
from trainer.bases.tokenizer import TOKENS as CLIP_TOKENS
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
    networks: dict[str, Any] = {
        part: fill(network, dtype) for part, network in skeleton.networks(source).items()
    }
    store(networks[DENOISER], stored(networks[DENOISER]), form)
    others: dict[str, Any] = {
        part: fill(network, dtype) for part, network in skeleton.readers(source).items()
    }
    vae = fill(skeleton.vae(source), torch.float32)
    autoencoding.settle(vae, dtype)
    return BaseModel(
        identity=Identity(source.family, source.prediction_type, source.zero_terminal_snr, ""),
        tokenizer=None,
        vae=vae,
        unet=networks.pop(DENOISER),
        schedule_config={},
        process=_process(source),
        device=META,
        dtype=dtype,
        settings=source.settings,
        **networks,
        **others,
    )


def _process(source: Source) -> Process:
    """Whose arithmetic is the base model's, whatever its schedule."""
    kind = source.prediction_type
    return Flow() if kind == "flow" else Diffusion(torch.ones(1000, dtype=torch.float64), kind)


@dataclass(frozen=True, slots=True)
class _Tokens:
    """What a tokenizer says."""

    input_ids: Any
    attention_mask: Tensor | None = None


class Tokenizer:
    """Says nothing at full length, so that text encoders read as much as they ever do."""

    model_max_length = CLIP_TOKENS
    pad_token_id = bos_token_id = eos_token_id = 0

    def __call__(
        self, texts: Sequence[str], max_length: int = 0, return_tensors: str | None = None, **rest: Any
    ) -> _Tokens:
        """Ids, as tensors of ``max_length`` where these are wanted, else empty lists."""
        if return_tensors is None:
            return _Tokens([[] for _ in texts])
        ids = torch.zeros(len(texts), max_length, dtype=torch.int64)
        return _Tokens(ids, torch.ones_like(ids))

    def apply_chat_template(self, messages: Any, **rest: Any) -> str:
        """No words."""
        return ""


def reading(base: BaseModel, rows: int, windows: int) -> TextReading:
    """So many captions of so many windows, before the fake text encoders."""
    readers = {part: TextReader(Tokenizer(), encoder) for part, encoder in base.encoders.items()}
    return TextReading(
        readers, [""] * rows, [1] * rows, PromptRules(windows), base.reading_config, base.dtype, META
    )


def _empty(like: Tensor, dtype: torch.dtype | None) -> Tensor:
    kept = torch.channels_last if like.dim() == 4 else torch.contiguous_format
    return torch.empty(like.shape, dtype=dtype or like.dtype, device=META, memory_format=kept)
