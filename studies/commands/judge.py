"""What ``lorasearch judge`` is asked, checked whole before anything is loaded."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from studies.errors import StudyError
from studies.report import checkpoint_table, files_page
from studies.report.choice import as_trial, explained
from studies.selection import held_out, lora_files
from studies.selection.document import Selection
from studies.selection.file_judge import JudgedFiles, JudgeRequest, Told, judge_files, precision_for, rows_for
from studies.selection.lora_files import Outline
from studies.selection.lora_runs import LoraCheckpoint, arrange
from studies.spec.guards import GuardsSection
from studies.spec.paths import is_hub_name, reserved
from studies.spec.plan_fields import size_problems
from studies.spec.sections import ConfirmSection, JudgeSection
from studies.text.i18n import Translator
from studies.workspace import write_json
from trainer.bases import base_model, find
from trainer.bases.errors import BaseModelError
from trainer.bases.find import Source
from trainer.data.images import DataError
from trainer.files import write_whole
from trainer.plans.base import BasePlan
from trainer.plans.compute import Precision
from trainer.plans.data import DataPlan
from trainer.tensor_header import weights_problem


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
    outside: str = "general"


@dataclass(frozen=True, slots=True)
class JudgeFiles:
    """What is written of a judgement."""

    document: Path
    page: Path
    table: Path

    @classmethod
    def below(cls, folder: Path) -> Self:
        """Their names in a folder."""
        return cls(folder / "judgement.json", folder / "report.html", folder / "checkpoints.csv")


def judge(request: JudgeRequest, told: Told, say: Translator) -> tuple[Selection, JudgeFiles]:
    """Judges, and writes JSON, table and page.

    Raises:
        NothingToSelect: no file renders or predicts anything usable.
    """
    judged = judge_files(request, told)
    judged = replace(judged, selection=explained(judged.selection))
    return judged.selection, write(judged, request, say)


def write(judged: JudgedFiles, request: JudgeRequest, say: Translator) -> JudgeFiles:
    """Writes JSON, table and page, each whole or not at all."""
    selection, files = judged.selection, JudgeFiles.below(request.out)
    write_json(files.document, selection.to_json())
    runs = selection.files.runs if selection.files else ()
    of_run = [[c for c in selection.candidates if c.origin and c.origin.run == run.run] for run in runs]
    trials = [replace(as_trial(of, i), values={"run": runs[i].run}) for i, of in enumerate(of_run)]
    write_whole(files.table, checkpoint_table.csv(trials, ["run"]))
    files_page.write(files.page, judged, request, say)
    return files


def examine(options: JudgeOptions) -> JudgeRequest:
    """Checks files, base model, images and judge; reads headers, weights of LoRAs and images.

    Raises:
        StudyError: with every problem found, each with its remedy.
    """
    problems: list[str] = []
    base = BasePlan(path=_local(options.base))
    source, outline = _base(base, problems)
    sizes: dict[Path, tuple[int, int]] = {}
    files = _files(options.files, outline, problems, sizes)
    resolution = options.resolution or (find.native_side(source) if source else 512)
    if source is not None:
        plan = DataPlan(folder=options.data, resolution=resolution)
        problems += [text.replace("data.", "--") for text in size_problems(plan, base_model.size_step(base))]
    clip = _clip(options.clip, problems)
    try:
        facts = [file.facts for file in files]
        images = held_out.read(options.data, options.held_out, facts, resolution, options.seed)
    except DataError as error:
        raise StudyError(problems + error.problems) from error
    out = options.out or Path("judgements") / (_folder_name(files[0].run) if files else "")
    if out.exists() and not out.is_dir():
        problems.append(f"{out}: this is a file; --out wants a folder.")
    if problems or outline is None:
        raise StudyError(problems)
    return JudgeRequest(
        files=files,
        ranks=[sizes[file.path][0] for file in files],
        layers=[sizes[file.path][1] for file in files],
        base=base,
        outline=outline,
        images=images,
        resolution=resolution,
        judge=_judge(clip, options, resolution),
        objective={"validation": 1.0, "clip_image": 0.5} if clip else {"validation": 1.0},
        guards=GuardsSection(),
        confirm=ConfirmSection(),
        precision=precision_for(options.precision),
        clip_skip=options.clip_skip,
        seed=options.seed or 0,
        out=out,
    )


def _judge(clip: str | None, options: JudgeOptions, resolution: int) -> JudgeSection:
    return JudgeSection.model_validate(
        {"clip": clip, "outside_prompts": options.outside, "max_rows": rows_for(resolution)}
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


def _files(
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
    if local.exists() or not is_hub_name(name):
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
