"""From captions to what the U-Net reads: tokens, hidden states, the states that a family picks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from trainer.bases.conditioning import Conditioning
from trainer.bases.errors import BaseModelError


@dataclass(frozen=True, slots=True)
class TextReader:
    """One text encoder with its tokenizer."""

    tokenizer: Any
    encoder: nn.Module

    def tokens(self, captions: Sequence[str]) -> Tensor:
        """Token ids (n, 77), on the encoder's device."""
        found: Tensor = self.tokenizer(
            list(captions),
            padding="max_length",
            truncation=True,
            max_length=self.tokenizer.model_max_length,
            return_tensors="pt",
        ).input_ids
        return found.to(next(self.encoder.parameters()).device)

    def read(self, tokens: Tensor) -> Any:
        """The encoder's output with all hidden states."""
        return self.encoder(tokens, output_hidden_states=True)

    @property
    def final_norm(self) -> nn.Module:
        """The layer norm behind the last layer."""
        inner: Any = getattr(self.encoder, "text_model", self.encoder)
        norm: nn.Module = inner.final_layer_norm
        return norm


def conditioning(
    readers: Sequence[TextReader], captions: Sequence[str], clip_skips: Sequence[int]
) -> Conditioning:
    """Captions as the U-Net reads them; with gradients where they are enabled.

    One text encoder (SD 1.x, 2.x): the hidden state N from the end, then the final layer norm. Two (SDXL): the
    penultimate state of each without that norm, side by side, and the second's projection of the last.

    Raises:
        BaseModelError: a clip skip is asked of SDXL, which has none.
    """
    outputs = [reader.read(reader.tokens(captions)) for reader in readers]
    if len(readers) == 1:
        states = outputs[0].hidden_states
        chosen = torch.stack([states[-skip][row] for row, skip in enumerate(clip_skips)])
        return Conditioning(readers[0].final_norm(chosen))
    if any(skip != 1 for skip in clip_skips):
        raise BaseModelError("base.clip_skip: SDXL ignores it; leave it out, or set it to 1.")
    penultimate = torch.cat([output.hidden_states[-2] for output in outputs], dim=-1)
    return Conditioning(penultimate, outputs[-1].text_embeds)
