"""From captions to what the U-Net reads: tokens, hidden states, the states that a family picks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from trainer.bases.conditioning import Conditioning
from trainer.bases.errors import BaseModelError
from trainer.bases.family import Family
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


def conditioning(
    family: Family,
    readers: Sequence[TextReader],
    captions: Sequence[str],
    clip_skips: Sequence[int],
    rules: PromptRules,
) -> Conditioning:
    """Captions as the U-Net reads them; with gradients where they are enabled.

    With clip skip (SD 1.x, 2.x): the hidden state N from the end, then the final layer norm. Without (SDXL): the
    penultimate state of each reader without that norm, side by side, and the last one's projection of its first
    window.

    Raises:
        BaseModelError: a clip skip is asked of a family that has none.
    """
    if family.clip_skip:
        return Conditioning(_one(readers[0], captions, clip_skips, rules))
    if any(skip != 1 for skip in clip_skips):
        raise BaseModelError(f"base.clip_skip: {family.title} ignores it; leave it out, or set it to 1.")
    outputs: list[Any] = []

    def penultimate(reader: TextReader) -> Tensor:
        def encode(tokens: Tensor) -> Tensor:
            outputs.append(reader.read(tokens))
            state: Tensor = outputs[-1].hidden_states[-2]
            return state

        return embed(reader.tokenizer, captions, rules, encode)

    states = [penultimate(reader) for reader in readers]
    return Conditioning(torch.cat(states, dim=-1), outputs[-rules.windows].text_embeds)


def _one(
    reader: TextReader, captions: Sequence[str], clip_skips: Sequence[int], rules: PromptRules
) -> Tensor:
    def encode(tokens: Tensor) -> Tensor:
        states = reader.read(tokens).hidden_states
        chosen = torch.stack([states[-skip][row] for row, skip in enumerate(clip_skips)])
        normalised: Tensor = reader.final_norm(chosen)
        return normalised

    return embed(reader.tokenizer, captions, rules, encode)
