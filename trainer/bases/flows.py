"""What flow-matching transformers have in common."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from trainer.adapters.targets import linear_in as linear_in
from trainer.bases.conditioning import Conditioning, Framing
from trainer.bases.family import Config
from trainer.bases.schedule import shift_of
from trainer.bases.text import TextReader


def no_numbers(config: Config, framing: Framing, guidance: float) -> tuple[float, ...]:
    """Nothing is told beside the text."""
    return ()


def asked(tokenizer: Any, caption: str, thinking: bool) -> str:
    """A caption as a user's message in a language model's own template."""
    found: str = tokenizer.apply_chat_template(
        [{"role": "user", "content": caption}],
        tokenize=False,
        add_generation_prompt=True,
        enable_thinking=thinking,
    )
    return found


def padded(reader: TextReader, captions: Sequence[str], length: int) -> Any:
    """Token ids and mask of captions at a fixed length, shape (n, length) each; what exceeds it is cut off."""
    return reader.tokenizer(
        list(captions), padding="max_length", max_length=length, truncation=True, return_tensors="pt"
    )


def last_state(reader: TextReader, tokens: Any, mask: bool = False) -> Tensor:
    """The last hidden state (n, length, width) of an encoder such as T5.

    Args:
        reader: the encoder.
        tokens: of ``padded``.
        mask: whether padding is hidden from it; of fakes none is.
    """
    where = next(reader.encoder.parameters()).device
    hidden = {"attention_mask": tokens.attention_mask.to(where)} if mask and where.type != "meta" else {}
    found: Tensor = reader.encoder(tokens.input_ids.to(where), **hidden)[0]
    return found


def ended(reader: TextReader, tokens: Any, ending: str) -> Any:
    """The same with an ending behind the padding."""
    from transformers import BatchEncoding

    last = reader.tokenizer([ending] * len(tokens.input_ids), return_tensors="pt")
    names = ("input_ids", "attention_mask")
    return BatchEncoding(
        {name: torch.cat([getattr(tokens, name), getattr(last, name)], dim=1) for name in names}
    )


def hidden_states(
    reader: TextReader, tokens: Any, skips_padding: bool = False
) -> tuple[Sequence[Tensor], Tensor]:
    """All hidden states (n, length, width) of a language model, and where captions are: shape (n, length).

    Args:
        reader: the language model.
        tokens: of ``padded``; of fakes, which nobody can look at, no token is hidden.
        skips_padding: whether places are counted without padding.
    """
    where = next(reader.encoder.parameters()).device
    mask: Tensor = tokens.attention_mask.to(where).bool()
    places = (mask.long().cumsum(dim=-1) - 1).clamp(min=0).expand(3, -1, -1) if skips_padding else None
    said = reader.encoder(
        input_ids=tokens.input_ids.to(where),
        attention_mask=None if mask.is_meta else mask,
        output_hidden_states=True,
        **({} if places is None else {"position_ids": places}),
    )
    return said.hidden_states, mask


def set_timesteps(solver: Any, steps: int, patches: int) -> None:
    """As diffusers' pipeline of SD 3 does: evenly to the last training timestep, shifted by resolution where asked."""
    if solver.config.get("use_dynamic_shifting"):
        solver.set_timesteps(steps, mu=shift_of(solver.config).mu_at(patches))
    else:
        solver.set_timesteps(steps)


def linear_timesteps(solver: Any, steps: int, patches: int) -> None:
    """As diffusers' pipeline of FLUX.1 does: sigma from 1 to 1 / steps, then shifted."""
    sigmas = [1 - step / steps for step in range(steps)]
    mu = shift_of(solver.config).mu_at(patches) if solver.config.get("use_dynamic_shifting") else None
    solver.set_timesteps(sigmas=sigmas, mu=mu)


def patched(latents: Tensor) -> Tensor:
    """Latents (n, c, h, w) as (n, h / 2 * w / 2, 4 c): two by two, channels first."""
    rows, channels, height, width = latents.shape
    parts = latents.view(rows, channels, height // 2, 2, width // 2, 2).permute(0, 2, 4, 1, 3, 5)
    return parts.reshape(rows, height // 2 * (width // 2), 4 * channels)


def unpatched(patches: Tensor, height: int, width: int) -> Tensor:
    """The inverse: (n, height * width, 4 c) to (n, c, 2 height, 2 width)."""
    rows, _, depth = patches.shape
    parts = patches.view(rows, height, width, depth // 4, 2, 2).permute(0, 3, 1, 4, 2, 5)
    return parts.reshape(rows, depth // 4, 2 * height, 2 * width)


def places(height: int, width: int) -> Tensor:
    """Where each patch is: shape (height * width, 3), of 0, row, column."""
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return torch.stack([torch.zeros_like(rows), rows, columns], dim=-1).flatten(0, 1)


def own_tokens(states: Tensor, mask: Tensor) -> Conditioning:
    """Text of its own length in each row: the tokens that the mask (n, tokens) keeps come first, the others are 0."""
    order = (~mask).to(torch.int8).argsort(dim=1, stable=True)
    first = states.gather(1, order[:, :, None].expand_as(states))
    kept = mask.gather(1, order)
    return Conditioning(first * kept[:, :, None].to(first.dtype), mask=kept)


def split(text: Conditioning) -> list[Tensor]:
    """Each row's own tokens, shape (its tokens, width)."""
    if text.mask is None:
        return list(text.embeddings.unbind())
    lengths: list[int] = text.mask.sum(dim=-1).tolist()
    return [row[:length] for row, length in zip(text.embeddings, lengths, strict=True)]
