"""The models that ``lorasearch judge`` is given: a base model and perhaps a CLIP, checked without their weights."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from studies.selection.base_outline import Outline, outline
from studies.spec.paths import is_hub_name
from studies.spec.plan_fields import size_problems
from trainer.bases import base_model, find
from trainer.bases.errors import BaseModelError
from trainer.plans.base import BasePlan
from trainer.plans.data import DataPlan
from trainer.tensor_header import weights_problem

_SIDE = 512
"""Of pictures, in pixels, where the base model is unknown."""


@dataclass(frozen=True, slots=True)
class JudgedBase:
    """A base model, and what is known of it."""

    plan: BasePlan
    outline: Outline | None
    """None where it cannot be read."""
    side: int
    """Of the pictures that it was trained on, in pixels."""


def read_base(path: Path, problems: list[str]) -> JudgedBase:
    """Reads a base model's configuration; ``problems`` gets what is wrong with it."""
    plan = BasePlan(path=_local(path))
    try:
        source = find.find(plan)
        return JudgedBase(plan, outline(source), find.native_side(source))
    except BaseModelError as error:
        problems.append(f"--base: {error}")
    except (OSError, ValueError, KeyError) as error:
        problems.append(f"--base: {plan.path}: its configuration cannot be read ({error}).")
    return JudgedBase(plan, None, _SIDE)


def resolution_problems(base: JudgedBase, folder: Path, resolution: int) -> list[str]:
    """What is wrong with a resolution for this base model, which is known.

    Args:
        base: read.
        folder: of the images.
        resolution: side of images and renders in pixels.
    """
    plan = DataPlan(folder=folder, resolution=resolution)
    found = size_problems(plan, base_model.size_step(base.plan))
    return [problem.replace("data.", "--") for problem in found]


def read_clip(name: str | None, problems: list[str]) -> str | None:
    """A CLIP as it is loaded: a folder in full, a hub name as it is; ``problems`` gets what is wrong with it."""
    if name is None:
        return None
    local = Path(name).expanduser()
    if local.is_dir():
        if problem := weights_problem(local):
            problems.append(f"--clip: {local}: {problem}.")
        return str(local.resolve())
    if local.exists() or not is_hub_name(name):
        problems.append(
            f"--clip: {name}: there is no such folder; give a CLIP folder in transformers layout, or a hub name such "
            "as openai/clip-vit-large-patch14."
        )
    return name


def _local(path: Path) -> Path:
    """An existing path in full; a hub name as it is."""
    expanded = path.expanduser()
    return expanded.resolve() if expanded.exists() else path
