"""What ``lorasearch judge`` is asked, checked whole before anything is loaded."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from studies.commands.judge_models import read_base, read_clip, resolution_problems
from studies.errors import StudyError
from studies.selection import held_out, named_files
from studies.selection.judge_request import JudgeRequest
from studies.spec.guards import GuardsSection
from studies.spec.paths import reserved
from studies.spec.sections import BLIND_WEIGHTS, ConfirmSection, JudgeSection
from studies.spec.subjects import Subject as Subject
from studies.spec.subjects import weights
from trainer.data.images import DataError
from trainer.plans.compute import Precision


@dataclass(frozen=True, slots=True)
class JudgeOptions:
    """The command's words."""

    files: Sequence[Path]
    base: Path
    data: Path
    out: Path | None = None
    """None names it after the first run."""
    held_out: Path | None = None
    clip: str | None = None
    resolution: int | None = None
    """Pixels; None takes the base model's own size."""
    precision: Precision | None = None
    clip_skip: int | None = None
    seed: int | None = None
    subject: Subject = "style"
    outside: str = "auto"


def examine(options: JudgeOptions) -> JudgeRequest:
    """Checks files, base model, images and judge; reads headers, weights of LoRAs and images.

    Raises:
        StudyError: with every problem found, each with its remedy.
    """
    problems: list[str] = []
    base = read_base(options.base, problems)
    files = named_files.examine(options.files, base.outline)
    problems += files.problems
    resolution = options.resolution or base.side
    if base.outline is not None:
        problems += resolution_problems(base, options.data, resolution)
    clip = read_clip(options.clip, problems)
    try:
        facts = [file.facts for file in files.checkpoints]
        images = held_out.read(options.data, options.held_out, facts, resolution, options.seed)
    except DataError as error:
        raise StudyError(problems + error.problems) from error
    out = options.out or Path("judgements") / (
        _folder_name(files.checkpoints[0].run) if files.checkpoints else ""
    )
    if out.exists() and not out.is_dir():
        problems.append(f"{out}: this is a file; --out wants a folder.")
    if problems or base.outline is None:
        raise StudyError(problems)
    return JudgeRequest(
        files=files.checkpoints,
        ranks=files.ranks,
        layers=files.layers,
        base=base.plan,
        outline=base.outline,
        images=images,
        resolution=resolution,
        judge=_judge(clip, options, resolution),
        objective=weights(options.subject, base.outline.family.flows) if clip else dict(BLIND_WEIGHTS),
        guards=GuardsSection(),
        confirm=ConfirmSection(recipe_margin=0.0),
        precision=precision_for(options.precision),
        clip_skip=options.clip_skip,
        seed=options.seed or 0,
        out=out,
        notes=files.notes,
    )


def _judge(clip: str | None, options: JudgeOptions, resolution: int) -> JudgeSection:
    return JudgeSection.model_validate(
        {
            "subject": options.subject,
            "clip": clip,
            "outside_prompts": options.outside,
            "max_rows": rows_for(resolution),
        }
    )


def _folder_name(run: str) -> str:
    """A run's name as that of a folder; what file systems or shells stumble over becomes a dash."""
    name = re.sub(r"[^\w .()+-]|^[.-]", "-", run).strip(" .")[:100]
    return f"{name}-" if reserved(name) else name or "files"


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
