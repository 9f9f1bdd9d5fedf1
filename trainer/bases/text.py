"""From captions to what the denoiser reads: tokens, hidden states, the states that a family picks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from trainer.bases.conditioning import Conditioning
from trainer.bases.prompts import PLAIN as PLAIN
from trainer.bases.prompts import PromptRules as PromptRules
from trainer.bases.prompts import embed


@dataclass(frozen=True, slots=True)
class TextReader:
    """One text encoder with its tokenizer."""

    tokenizer: Any
    encoder: nn.Module

    def read(self, tokens: Tensor) -> Any:
        """The encoder's output with all hidden states, of token ids (n, 77)."""
        return self.encoder(tokens.to(next(self.encoder.parameters()).device), output_hidden_states=True)

    @property
    def final_norm(self) -> nn.Module:
        """The layer norm behind the last layer."""
        inner: Any = getattr(self.encoder, "text_model", self.encoder)
        norm: nn.Module = inner.final_layer_norm
        return norm


Within = Callable[[], AbstractContextManager[None]]
"""Opens a context that work is done in."""


def recomputed(read: Callable[[], Conditioning], within: Within) -> Conditioning:
    """What ``read`` says, its activations computed again in the backward pass instead of kept.

    Args:
        read: depends on nothing that changes until then.
        within: a context for reading it again, in which it is read now.
    """
    found: Conditioning = checkpoint(read, use_reentrant=False, context_fn=lambda: (nullcontext(), within()))
    return found


@dataclass(frozen=True, slots=True)
class TextReading:
    """What is to be read, and with what."""

    readers: Mapping[str, TextReader]
    """By the folder of the text encoder, in the family's order; those that the base lacks are not there."""
    captions: Sequence[str]
    clip_skips: Sequence[int]
    """One a caption."""
    rules: PromptRules
    network: Mapping[str, Any]
    """The denoiser's configuration, for the width of text, and the pipeline's own settings."""
    dtype: torch.dtype
    """Of the denoiser."""
    device: torch.device
    """Where it works."""


def final_states(reading: TextReading) -> Conditioning:
    """SD 1.x and 2.x: the hidden state N from the end, by clip skip, then the final layer norm."""
    (reader,) = reading.readers.values()

    def encode(tokens: Tensor) -> Tensor:
        states = reader.read(tokens).hidden_states
        chosen = torch.stack([states[-skip][row] for row, skip in enumerate(reading.clip_skips)])
        normalised: Tensor = reader.final_norm(chosen)
        return normalised

    return Conditioning(embed(reader.tokenizer, reading.captions, reading.rules, encode))


def penultimate_states(reading: TextReading) -> Conditioning:
    """SDXL: the penultimate state of each reader without that norm, side by side, and the last one's projection.

    The projection is that of the first window.
    """
    outputs: list[Any] = []

    def penultimate(reader: TextReader) -> Tensor:
        def encode(tokens: Tensor) -> Tensor:
            outputs.append(reader.read(tokens))
            state: Tensor = outputs[-1].hidden_states[-2]
            return state

        return embed(reader.tokenizer, reading.captions, reading.rules, encode)

    states = [penultimate(reader) for reader in reading.readers.values()]
    return Conditioning(torch.cat(states, dim=-1), outputs[-reading.rules.windows].text_embeds)
