"""What ``lorasearch judge`` is asked, checked whole before anything is loaded."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from studies.engines.judging import Case, precision_for, rows_for
from studies.errors import StudyError
from studies.selection import held_out, lora_files
from studies.selection.lora_files import Outline
from studies.selection.lora_runs import LoraCheckpoint, arrange
from studies.spec.guards import GuardsSection
from studies.spec.paths import reserved
from studies.spec.plan_fields import size_problems
from studies.spec.sections import ConfirmSection, JudgeSection
from trainer.bases import base_model, find, hub
from trainer.bases.errors import BaseModelError
from trainer.bases.find import Source
from trainer.data.images import DataError
from trainer.plans.base import BasePlan
from trainer.plans.compute import Precision
from trainer.plans.data import DataPlan
from trainer.tensor_header import weights_problem


@dataclass(frozen=True, slots=True)
class Request:
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
    outside: str = "general"


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that can be fulfilled."""

    case: Case
    out: Path


def examine(request: Request) -> Asked:
    """Checks files, base model, images and judge; reads headers, weights of LoRAs and images.

    Raises:
        StudyError: with every problem found, each with its remedy.
    """
    problems: list[str] = []
    base = BasePlan(path=_local(request.base))
    source, outline = _base(base, problems)
    sizes: dict[Path, tuple[int, int]] = {}
    checkpoints = _checkpoints(request.files, outline, problems, sizes)
    resolution = request.resolution or (find.native_side(source) if source else 512)
    if source is not None:
        plan = DataPlan(folder=request.data, resolution=resolution)
        problems += [text.replace("data.", "--") for text in size_problems(plan, base_model.size_step(base))]
    clip = _clip(request.clip, problems)
    try:
        facts = [checkpoint.facts for checkpoint in checkpoints]
        images = held_out.read(request.data, request.held_out, facts, resolution, request.seed)
    except DataError as error:
        raise StudyError(problems + error.problems) from error
    out = request.out or Path("judgements") / (_folder_name(checkpoints[0].run) if checkpoints else "")
    if out.exists() and not out.is_dir():
        problems.append(f"{out}: this is a file; --out wants a folder.")
    if problems or outline is None:
        raise StudyError(problems)
    case = Case(
        checkpoints=checkpoints,
        ranks=[sizes[checkpoint.path][0] for checkpoint in checkpoints],
        layers=[sizes[checkpoint.path][1] for checkpoint in checkpoints],
        base=base,
        outline=outline,
        images=images,
        resolution=resolution,
        judge=_judge(clip, request, resolution),
        objective={"validation": 1.0, "clip_image": 0.5} if clip else {"validation": 1.0},
        guards=GuardsSection(),
        confirm=ConfirmSection(),
        precision=precision_for(request.precision),
        clip_skip=request.clip_skip,
        seed=request.seed or 0,
        cache=out / "cache",
    )
    return Asked(case, out)


def _judge(clip: str | None, request: Request, resolution: int) -> JudgeSection:
    return JudgeSection.model_validate(
        {"clip": clip, "outside_prompts": request.outside, "max_rows": rows_for(resolution)}
    )


def _base(base: BasePlan, problems: list[str]) -> tuple[Source | None, Outline | None]:
    try:
        source = find.find(base)
        return source, lora_files.outline(source)
    except BaseModelError as error:
        problems.append(f"--base: {error}")
    except (OSError, ValueError, KeyError) as error:
        problems.append(f"--base: {base.path}: its configuration cannot be read ({error}).")
    return None, None


def _checkpoints(
    files: Sequence[Path],
    outline: Outline | None,
    problems: list[str],
    sizes: dict[Path, tuple[int, int]],
) -> list[LoraCheckpoint]:
    """The sound files in order; ``sizes`` gets the largest rank and the number of layers of each."""
    sound: list[tuple[Path, Mapping[str, str]]] = []
    for path in dict.fromkeys(files):
        layers, problem = lora_files.examined(path, outline)
        if problem is not None:
            problems.append(problem)
            continue
        sound.append((path, lora_files.metadata(path)))
        if layers is not None:
            sizes[path] = lora_files.largest_rank(layers), len(layers)
    return arrange(sound)


def _clip(name: str | None, problems: list[str]) -> str | None:
    if name is None:
        return None
    local = Path(name).expanduser()
    if local.is_dir():
        problems += [f"--clip: {local}: {said}." for said in [weights_problem(local)] if said]
        return str(local.resolve())
    if local.exists() or not hub.is_name(local):
        problems.append(
            f"--clip: {name}: there is no such folder; give a CLIP folder in transformers layout, or a hub name such "
            "as openai/clip-vit-large-patch14."
        )
    return name


def _folder_name(run: str) -> str:
    """A run's name as that of a folder; what file systems or shells stumble over becomes a dash."""
    name = re.sub(r"[^\w .()+-]|^[.-]", "-", run).strip(" .")[:100]
    return f"{name}-" if reserved(name) else name or "files"


def _local(path: Path) -> Path:
    """An existing path in full; a hub name as it is."""
    expanded = path.expanduser()
    return expanded.resolve() if expanded.exists() else path
