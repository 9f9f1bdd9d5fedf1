"""What flow-matching transformers have in common."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from trainer.adapters.targets import linear_in as linear_in
from trainer.bases.conditioning import Framing
from trainer.bases.family import Config
from trainer.bases.schedule import shift_of
from trainer.bases.text import TextReader


def no_numbers(config: Config, framing: Framing, guidance: float) -> tuple[float, ...]:
    """Nothing is told beside the text."""
    return ()


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
        mask: whether padding is hidden from it.
    """
    where = next(reader.encoder.parameters()).device
    hidden = {"attention_mask": tokens.attention_mask.to(where)} if mask else {}
    found: Tensor = reader.encoder(tokens.input_ids.to(where), **hidden)[0]
    return found


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
