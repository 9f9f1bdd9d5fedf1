"""Judges checkpoints again, on pictures that were kept back from their studies and with far more renders."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks.truth_studies import ASSETS, MICRO
from evaluation.scorecard import ScoreCard
from studies.commands.judge_request import JudgeOptions, examine
from studies.selection.file_judge import FileJudge

CARE = {"prompt_count": 21, "seeds_per_prompt": 2, "timesteps": 16, "steps": 12, "outside_prompt_count": 0}
"""42 renders a checkpoint, where a search has a handful."""


def judged_again(files: Sequence[Path], place: Path, base: str = MICRO) -> list[ScoreCard]:
    """A card for each file, all on the same pictures, prompts and noise.

    Args:
        files: LoRAs of one base.
        place: folder of the subject: ``images/`` that studies saw, ``kept_back/`` that none did.
        base: name of the shipped base model.
    """
    options = JudgeOptions(
        files,
        ASSETS / base,
        place / "images",
        place / "judged_again",
        place / "kept_back",
        str(ASSETS / "micro-clip"),
    )
    request = examine(options)
    request = replace(request, judge=request.judge.model_copy(update=CARE))
    scored = dict(
        zip(
            (file.path for file in request.files),
            FileJudge(request, lambda _: None).score(range(len(files))),
            strict=True,
        )
    )
    return [scored[file][0] for file in files]
