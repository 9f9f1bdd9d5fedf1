"""Paths in a plan that is handed on with a LoRA file: names without folders, which may hold a user's name (pure)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path, PureWindowsPath
from typing import Any

from trainer.paths import elsewhere
from trainer.plan import TrainingPlan

KEY = "lorasearch_plan"
"""The plan's entry in a LoRA file's metadata."""
_HUB = 2
"""Parts of a hub name, ``org/model``."""


def without_folders(plan: TrainingPlan) -> TrainingPlan:
    """The plan with the last part of each path; hub names stay whole."""
    return _mapped(plan, None, lambda path, _: _name(path))


def with_folders(plan: TrainingPlan, places: TrainingPlan) -> TrainingPlan:
    """The inverse, as far as another plan has the same names at the same fields.

    Args:
        plan: out of a file.
        places: of the study that made it.
    """

    def found(path: Path, place: Path | None) -> Path:
        return place if place is not None and _name(place) == path else path

    return _mapped(plan, places, found)


def _name(path: Path) -> Path:
    if elsewhere(str(path)):
        return Path(PureWindowsPath(path).name)
    return path if not path.is_absolute() and len(path.parts) == _HUB else Path(path.name)


def _mapped(
    plan: TrainingPlan, other: TrainingPlan | None, change: Callable[[Path, Path | None], Path]
) -> TrainingPlan:
    beside = None if other is None else other.model_dump()
    return TrainingPlan.model_validate(_walked(plan.model_dump(), beside, change))


def _walked(value: Any, other: Any, change: Callable[[Path, Path | None], Path]) -> Any:
    """Every path in nested tables and lists, with the one at the same place of another."""
    match value:
        case Path():
            return change(value, other if isinstance(other, Path) else None)
        case dict():
            beside = other if isinstance(other, dict) else {}
            return {key: _walked(inner, beside.get(key), change) for key, inner in value.items()}
        case list() | tuple():
            rest = other if isinstance(other, list | tuple) else ()
            return [
                _walked(inner, rest[i] if i < len(rest) else None, change) for i, inner in enumerate(value)
            ]
        case _:
            return value
