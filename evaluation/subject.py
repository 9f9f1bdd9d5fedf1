"""Who stands before the judge: a slot of the bank, or the bare base model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from trainer.adapters.bank import AdapterBank, Row
from trainer.bases.conditioning import Conditioning
from trainer.data.encoded import Encoded


@dataclass(frozen=True, slots=True)
class Subject:
    """A LoRA in the bank and the way its text is read."""

    slot: Row
    """None is the base model without LoRA."""
    clip_skip: int = 1


@torch.no_grad()
def embed(
    data: Encoded, bank: AdapterBank, subjects: Sequence[Subject], captions: Sequence[str]
) -> Conditioning:
    """Every subject's own reading of every caption: leading axes (subjects, captions)."""
    rows = []
    for subject in subjects:
        skips = [subject.clip_skip] * len(captions)
        if subject.slot is not None and "text_encoder" in bank.shape(subject.slot).prefixes:
            with bank.rows([subject.slot] * len(captions)):
                rows.append(data.base.encode_text(captions, skips, data.prompts))
        else:
            rows.append(data.text(captions, skips))
    return Conditioning.stack(rows)
