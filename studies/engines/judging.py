"""Judges LoRA files of any trainer, with no study: the same panels, rule and guards."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from evaluation.encoders import ClipEncoder, ImageEncoder
from evaluation.flexibility_prompts import outside
from evaluation.judge import Judge, Panel
from evaluation.scorecard import ScoreCard
from evaluation.subject import Subject
from studies.engines.judges import settings_of, spreads
from studies.selection import lora_files
from studies.selection.held_out import HeldOut
from studies.selection.lora_files import Outline
from studies.selection.lora_runs import LoraCheckpoint
from studies.spec.guards import GuardsSection
from studies.spec.sections import ConfirmSection, JudgeSection, cues
from trainer.bases import base_model
from trainer.data.caches import TensorCache
from trainer.data.encoded import Encoded
from trainer.plans.base import BasePlan
from trainer.plans.compute import Precision
from trainer.seeds import derive
from trainer.training.pack import bank_for

_BANK_BYTES = 2 * 2**30
"""Memory for the weights of the files that are judged in one pass, and as much again beside them."""
_MOST_AT_ONCE = 8

Told = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Case:
    """Everything that is judged and on what, checked; no weights are loaded yet."""

    checkpoints: Sequence[LoraCheckpoint]
    ranks: Sequence[int]
    """The largest rank of each file."""
    layers: Sequence[int]
    """How many layers each adapts."""
    base: BasePlan
    outline: Outline
    images: HeldOut
    resolution: int
    """Side of the renders in pixels."""
    judge: JudgeSection
    objective: Mapping[str, float]
    guards: GuardsSection
    confirm: ConfirmSection
    precision: Precision
    clip_skip: int | None
    """None takes what each file says of itself."""
    seed: int
    cache: Path


class Bench:
    """The loaded base model, a bank for some files at a time, and the panels."""

    def __init__(self, case: Case, told: Told) -> None:
        told("loading the base model")
        self._case = case
        device = base_model.device_for("auto")
        self._base = base_model.load(case.base, case.precision, device)
        self._data = Encoded(case.images.dataset, self._base, TensorCache(case.cache))
        if case.judge.clip:
            told(f"loading {case.judge.clip}")
        self._clip = ClipEncoder(case.judge.clip, device) if case.judge.clip else None
        encoder = case.judge.image_encoder
        self._eye = ImageEncoder(encoder, device) if encoder else None
        self._bank = bank_for(self._base, _MOST_AT_ONCE)
        self._told = told
        told("measuring the base model")
        self._again: dict[str, Judge] = {}
        self._everyday = self._judge("search")
        self.base_renders = self._everyday.base.renders[0]
        """Of the prompts that every file renders: shape (prompts, 3, height, width)."""

    @property
    def prompts(self) -> tuple[str, ...]:
        """What the pictures of ``score`` show."""
        return self._everyday.panel.prompts

    def spreads(self) -> dict[str, float]:
        """How much a difference in each metric moves when it is measured again with other seeds."""
        return spreads([self._everyday], [self._judge("again")])

    def score(self, which: Sequence[int]) -> list[tuple[ScoreCard, Tensor]]:
        """Cards and renders of files, by their places among the case's checkpoints."""
        return self._scored(which, self._everyday, "scoring")

    def confirm(self, which: Sequence[int], label: str) -> list[ScoreCard]:
        """The same files with the label's seeds and more of everything."""
        if label not in self._again:
            self._again[label] = self._judge(label, thorough=True)
        judge = self._again[label]
        return [card for card, _ in self._scored(which, judge, "judging again", outside=True)]

    def test(self, which: int) -> ScoreCard:
        """The winner on images that nothing was chosen by."""
        return self._scored([which], self._judge("test", thorough=True), "testing", outside=True)[0][0]

    def _scored(
        self, which: Sequence[int], judge: Judge, verb: str, outside: bool = False
    ) -> list[tuple[ScoreCard, Tensor]]:
        found: list[tuple[ScoreCard, Tensor]] = []
        waiting = list(which)
        while waiting:
            subjects, slots = self._seated(waiting)
            told = [self._case.checkpoints[i].path.name for i in waiting[:slots]]
            self._told(f"{verb} {', '.join(told)}")
            found += judge.score(subjects, asked=range(slots) if outside else ())
            for slot in range(slots):
                self._bank.close(slot)
            del waiting[:slots]
        return found

    def _seated(self, waiting: Sequence[int]) -> tuple[list[Subject], int]:
        """As many files as fit beside each other, in the bank's slots."""
        subjects: list[Subject] = []
        room = _BANK_BYTES
        for slot, index in enumerate(waiting[:_MOST_AT_ONCE]):
            checkpoint = self._case.checkpoints[index]
            layers = lora_files.fitting(checkpoint.path, self._case.outline)
            room -= 4 * lora_files.values(layers, self._case.outline)
            if subjects and room < 0:
                break
            lora_files.fill(self._bank, slot, layers, self._case.outline)
            subjects.append(Subject(slot, self._clip_skip(checkpoint)))
        return subjects, len(subjects)

    def _clip_skip(self, checkpoint: LoraCheckpoint) -> int:
        if self._case.outline.family == "sdxl":
            return 1
        said = self._case.clip_skip or checkpoint.facts.get("ss_clip_skip", "1")
        return int(said) if str(said) in ("1", "2", "3") else 1

    def _judge(self, label: str, thorough: bool = False) -> Judge:
        return Judge(self._data, self._bank, self._panel(label, thorough), self._clip, self._eye)

    def _panel(self, label: str, thorough: bool) -> Panel:
        case, dataset = self._case, self._case.images.dataset
        judge, confirm, split = case.judge, case.confirm, dataset.split
        held_out = split.test if label == "test" else split.validation
        counts: ConfirmSection | JudgeSection = confirm if thorough else judge
        captions = [example.caption for example in dataset.examples]
        prompts = judge.prompts or tuple(captions[i] for i in held_out[: counts.prompt_count])
        return Panel(
            held_out=held_out,
            seen=split.train[: judge.seen_images] if label == "search" else (),
            prompts=prompts * counts.seeds_per_prompt,
            timesteps=counts.timesteps,
            seed=derive(case.seed, "exam", label),
            settings=settings_of(judge, case.resolution),
            max_rows=judge.max_rows,
            training=split.train,
            outside=outside(cues(judge), captions, confirm.outside_prompt_count) if thorough else (),
        )


def rows_for(resolution: int) -> int:
    """Rows in one forward pass: 16 at 512 pixels, fewer for larger pictures."""
    return max(2, min(64, round(16 * (512 / resolution) ** 2)))


def precision_for(asked: Precision | None) -> Precision:
    """float32 on a CPU, half precision on CUDA, unless one is asked for."""
    if asked is not None:
        return asked
    if not torch.cuda.is_available():
        return "no"
    return "bf16" if torch.cuda.is_bf16_supported() else "fp16"


Document = dict[str, Any]
"""The content of judgement.json."""
