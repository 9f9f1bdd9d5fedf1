"""The loaded base model, with room for some LoRA files at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

from evaluation.subject import Subject
from studies.selection import lora_files, lora_slots
from studies.selection.judge_request import JudgeRequest
from studies.selection.lora_runs import LoraCheckpoint
from trainer.adapters.bank import AdapterBank
from trainer.adapters.wrapping import bank_for_files
from trainer.bases import base_model
from trainer.data.caches import TensorCache
from trainer.data.encoded import Encoded

_BANK_BYTES = 2 * 2**30
"""Memory for the weights of the files that are judged in one pass, and as much again beside them."""
_MOST_AT_ONCE = 8


class FileSlots:
    """A bank on a base model, which files take turns in.

    Args:
        request: which files, and of which base model.
        data: the encoded images and the base model.
        bank: on that base model.
    """

    def __init__(self, request: JudgeRequest, data: Encoded, bank: AdapterBank) -> None:
        self._request, self.data, self.bank = request, data, bank

    @classmethod
    def load(cls, request: JudgeRequest) -> Self:
        """Loads the base model and encodes the images."""
        base = base_model.load(request.base, request.precision, base_model.device_for("auto"))
        data = Encoded(request.images.dataset, base, TensorCache(request.cache))
        return cls(request, data, bank_for_files(base, _MOST_AT_ONCE))

    def fill(self, waiting: Sequence[int]) -> list[Subject]:
        """Puts as many files as fit beside each other into the slots, in order.

        Args:
            waiting: places of files in the request.
        """
        subjects: list[Subject] = []
        room, outline = _BANK_BYTES, self._request.outline
        for slot, index in enumerate(waiting[:_MOST_AT_ONCE]):
            file = self._request.files[index]
            content = lora_files.fitting(file.path, outline)
            room -= 4 * lora_slots.values(content, outline)
            if subjects and room < 0:
                break
            lora_slots.fill(self.bank, slot, content, outline)
            subjects.append(Subject(slot, self._clip_skip(file)))
        return subjects

    def empty(self, count: int) -> None:
        """Frees the first slots."""
        for slot in range(count):
            self.bank.close(slot)

    def _clip_skip(self, file: LoraCheckpoint) -> int:
        if not self._request.outline.family.clip_skip:
            return 1
        asked = self._request.clip_skip or file.facts.get("ss_clip_skip", "1")
        return int(asked) if str(asked) in ("1", "2", "3") else 1
