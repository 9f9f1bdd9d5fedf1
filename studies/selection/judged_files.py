"""Judges LoRA files of any trainer and chooses among them, as a study does among its checkpoints."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor

from evaluation.scorecard import ScoreCard
from studies.selection.document import Files, ImageCounts, Run, Selection
from studies.selection.file_judge import FileJudge
from studies.selection.judge_request import JudgeRequest
from studies.selection.lora_runs import amounts
from studies.selection.rule import Rule
from studies.selection.selection import Selector
from studies.study.trial import Checkpoint, Origin


@dataclass(frozen=True, slots=True)
class JudgedFiles:
    """The choice, and the pictures behind it."""

    selection: Selection
    prompts: Sequence[str]
    base_renders: Tensor
    """Shape (prompts, 3, height, width), in [0, 1]."""
    renders: Sequence[Tensor]
    """Of each file."""


def judge_files(request: JudgeRequest, told: Callable[[str], None]) -> JudgedFiles:
    """Judges every file, judges the best again, and tests the winner.

    Raises:
        NothingToSelect: no file renders or predicts anything usable.
    """
    judge = FileJudge(request, told)
    units = judge.measure_units()
    rule = Rule(
        weights={name: weight for name, weight in request.objective.items() if name in units},
        guards=request.guards,
        confirm=request.confirm,
        units=units,
    )
    scored = judge.score(range(len(request.files)))
    checkpoints = _checkpoints(request, [card for card, _ in scored])
    name = request.files[0].run
    selector = Selector(name, request.seed, len(checkpoints), rule, checkpoints)
    selection = selector.choose(judge).model_copy(
        update={"files": _files(request), "images": _images(request)}
    )
    return JudgedFiles(selection, judge.prompts, judge.base_renders, [renders for _, renders in scored])


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
        warnings=request.warnings,
    )


def _images(request: JudgeRequest) -> ImageCounts:
    split = request.images.dataset.split
    return ImageCounts(
        train=len(split.train),
        validation=len(split.validation),
        test=len(split.test),
        never_trained_on=request.images.never_trained_on,
    )
