"""Texts in a study file that cannot be paths (pure)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from studies.names import path_problem
from studies.problems import shown

Place = tuple[str | int, ...]


def no_paths(table: Mapping[str, Any], fields: Sequence[tuple[str, str]]) -> list[tuple[Place, str]]:
    """What cannot be a path on any file system: (place, sentence).

    Args:
        table: of a whole study file, not checked yet.
        fields: section and key of the plan's paths.
    """
    return [
        (place, f"{shown(text)} is no path: {problem}")
        for place, value in _values(table, fields)
        for text in _texts(value)
        if (problem := path_problem(text))
    ]


def _values(table: Mapping[str, Any], fields: Sequence[tuple[str, str]]) -> Iterator[tuple[Place, Any]]:
    plan, judge = table.get("plan"), table.get("judge")
    for section, key in (*fields, ("base", "loras")):
        entry = plan.get(section) if isinstance(plan, dict) else None
        if isinstance(entry, dict):
            yield ("plan", section, key), entry.get(key)
    for key in ("clip", "image_encoder"):
        if isinstance(judge, dict):
            yield ("judge", key), judge.get(key)


def _texts(value: Any) -> Iterator[str]:
    for one in value if isinstance(value, list) else [value]:
        text = one.get("file") if isinstance(one, dict) else one
        if isinstance(text, str):
            yield text
