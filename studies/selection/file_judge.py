"""Judges LoRA files of any trainer on one loaded base model, as a study judges its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from evaluation.encoders import ClipEncoder, VisionEncoder
from evaluation.judge import Judge
from evaluation.scorecard import ScoreCard
from evaluation.subject import Subject
from search.selection import Candidate
from studies.engines.engine import Exam
from studies.engines.judges import measurement_noise, panel
from studies.selection import lora_files
from studies.selection.document import Files, ImageCounts, Run, Selection
from studies.selection.held_out import HeldOut
from studies.selection.lora_files import Outline
from studies.selection.lora_runs import LoraCheckpoint, amounts
from studies.selection.rule import Rule
from studies.selection.selection import Selector, Tested
from studies.spec.guards import GuardsSection
from studies.spec.sections import ConfirmSection, JudgeSection
from studies.study.trial import Checkpoint, Origin
from trainer.bases import base_model
from trainer.data.caches import TensorCache
from trainer.data.encoded import Encoded
from trainer.plans.base import BasePlan
from trainer.plans.compute import Precision
from trainer.training.pack import bank_for

_BANK_BYTES = 2 * 2**30
"""Memory for the weights of the files that are judged in one pass, and as much again beside them."""
_MOST_AT_ONCE = 8

Told = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class JudgeRequest:
    """Everything that is judged and on what, checked; no weights are loaded yet."""

    files: Sequence[LoraCheckpoint]
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
    objective: dict[str, float]
    guards: GuardsSection
    confirm: ConfirmSection
    precision: Precision
    clip_skip: int | None
    """None takes what each file says of itself."""
    seed: int
    out: Path
    """Folder for report and JSON."""

    @property
    def cache(self) -> Path:
        """Folder of latents and text embeddings."""
        return self.out / "cache"


@dataclass(frozen=True, slots=True)
class JudgedFiles:
    """The choice, and the pictures behind it."""

    selection: Selection
    prompts: Sequence[str]
    base_renders: Tensor
    """Shape (prompts, 3, height, width), in [0, 1]."""
    renders: Sequence[Tensor]
    """Of each file."""


def judge_files(request: JudgeRequest, told: Told) -> JudgedFiles:
    """Judges every file, judges the best again, and tests the winner.

    Raises:
        NothingToSelect: no file renders or predicts anything usable.
    """
    judge = FileJudge(request, told)
    rule = Rule(
        weights=request.objective,
        guards=request.guards,
        confirm=request.confirm,
        spreads=judge.measurement_noise(),
    )
    scored = judge.score(range(len(request.files)))
    checkpoints = _checkpoints(request, [card for card, _ in scored])
    name = request.files[0].run
    selector = Selector(name, request.seed, len(checkpoints), rule, checkpoints)
    selection = selector.choose(judge).model_copy(
        update={"files": _files(request), "images": _images(request)}
    )
    return JudgedFiles(selection, judge.prompts, judge.base_renders, [renders for _, renders in scored])


class FileJudge:
    """The loaded base model, a bank for some files at a time, and the judges."""

    def __init__(self, request: JudgeRequest, told: Told) -> None:
        told("loading the base model")
        self._request = request
        device = base_model.device_for("auto")
        self._base = base_model.load(request.base, request.precision, device)
        self._data = Encoded(request.images.dataset, self._base, TensorCache(request.cache))
        clip, encoder = request.judge.clip, request.judge.image_encoder
        if clip:
            told(f"loading {clip}")
        self._clip = ClipEncoder(clip, device) if clip else None
        self._encoder = VisionEncoder(encoder, device) if encoder else None
        self._bank = bank_for(self._base, _MOST_AT_ONCE)
        self._told = told
        told("measuring the base model")
        self._again: dict[str, Judge] = {}
        self._everyday = self._judge(Exam.everyday(request.judge, "search"))
        self.base_renders = self._everyday.base.renders[0]
        """Of the prompts that every file renders: shape (prompts, 3, height, width)."""

    @property
    def prompts(self) -> tuple[str, ...]:
        """What the pictures of ``score`` show."""
        return self._everyday.panel.prompts

    def measurement_noise(self) -> dict[str, float]:
        """How much a difference in each metric moves when it is measured again with other seeds."""
        again = self._judge(Exam.everyday(self._request.judge, "again"))
        return measurement_noise([self._everyday], [again])

    def score(self, which: Sequence[int]) -> list[tuple[ScoreCard, Tensor]]:
        """Cards and renders of files, by their places in the request."""
        return self._scored(which, self._everyday, "scoring")

    def confirm(self, finalists: Sequence[Candidate], label: str) -> list[ScoreCard]:
        """Files with the label's seeds and more of everything."""
        if label not in self._again:
            self._again[label] = self._judge(Exam.thorough(self._request.confirm, "validation", label))
        which = [finalist.trial for finalist in finalists]
        scored = self._scored(which, self._again[label], "judging again", outside=True)
        return [card for card, _ in scored]

    def test(self, winner: Candidate) -> Tested | None:
        """The winner on images that nothing was chosen by; None where there are none."""
        if not self._request.images.dataset.split.test:
            return None
        judge = self._judge(Exam.thorough(self._request.confirm, "test", "test"))
        return Tested(self._scored([winner.trial], judge, "testing", outside=True)[0][0])

    def _scored(
        self, which: Sequence[int], judge: Judge, verb: str, outside: bool = False
    ) -> list[tuple[ScoreCard, Tensor]]:
        scored: list[tuple[ScoreCard, Tensor]] = []
        waiting = list(which)
        while waiting:
            subjects, slots = self._seated(waiting)
            names = [self._request.files[i].path.name for i in waiting[:slots]]
            self._told(f"{verb} {', '.join(names)}")
            scored += judge.score(subjects, asked=range(slots) if outside else ())
            for slot in range(slots):
                self._bank.close(slot)
            del waiting[:slots]
        return scored

    def _seated(self, waiting: Sequence[int]) -> tuple[list[Subject], int]:
        """As many files as fit beside each other, in the bank's slots."""
        subjects: list[Subject] = []
        room = _BANK_BYTES
        for slot, index in enumerate(waiting[:_MOST_AT_ONCE]):
            file = self._request.files[index]
            layers = lora_files.fitting(file.path, self._request.outline)
            room -= 4 * lora_files.values(layers, self._request.outline)
            if subjects and room < 0:
                break
            lora_files.fill(self._bank, slot, layers, self._request.outline)
            subjects.append(Subject(slot, self._clip_skip(file)))
        return subjects, len(subjects)

    def _clip_skip(self, file: LoraCheckpoint) -> int:
        if self._request.outline.family == "sdxl":
            return 1
        said = self._request.clip_skip or file.facts.get("ss_clip_skip", "1")
        return int(said) if str(said) in ("1", "2", "3") else 1

    def _judge(self, exam: Exam) -> Judge:
        request = self._request
        asked = panel(
            request.judge,
            request.images.dataset,
            exam,
            exam.prompt_count,
            request.seed,
            request.resolution,
        )
        return Judge(self._data, self._bank, asked, self._clip, self._encoder)


def _checkpoints(request: JudgeRequest, cards: Sequence[ScoreCard]) -> list[Checkpoint]:
    """The files as checkpoints: each is a trial of its own, so that epochs are told apart."""
    seen = amounts(request.files)
    return [
        Checkpoint(
            trial=i,
            epoch=file.number,
            images_seen=seen[i],
            rank=request.ranks[i],
            file=str(file.path),
            scores=card,
            origin=Origin(
                run=file.run,
                label=file.label,
                unit=file.unit,
                images_seen=file.images_seen,
                layers=request.layers[i],
            ),
        )
        for i, (file, card) in enumerate(zip(request.files, cards, strict=True))
    ]


def _files(request: JudgeRequest) -> Files:
    runs: dict[str, int] = {}
    for file in request.files:
        runs[file.run] = runs.get(file.run, 0) + 1
    return Files(
        base=str(request.base.path),
        clip=request.judge.clip,
        resolution=request.resolution,
        runs=tuple(Run(run=run, files=count) for run, count in runs.items()),
        warnings=request.images.warnings,
    )


def _images(request: JudgeRequest) -> ImageCounts:
    split = request.images.dataset.split
    return ImageCounts(
        train=len(split.train),
        validation=len(split.validation),
        test=len(split.test),
        never_trained_on=request.images.never_trained_on,
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
