"""Paths in a study file: resolved from its folder, and what is wrong with them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from studies.spec.paths import Place, is_hub_name, no_paths, written_problem
from trainer.paths import absolute

_FIELDS = (
    ("base", "path"),
    ("base", "vae"),
    ("base", "transformer"),
    ("data", "folder"),
    ("data", "folders"),
    ("data", "concepts"),
    ("data", "reg_folder"),
    ("lora", "start"),
)
"""Fields of the plan that are paths."""


def path_problems(table: Mapping[str, Any]) -> list[tuple[Place, str]]:
    """Texts that are no paths where a study file's table wants one, each with its place."""
    return no_paths(table, _FIELDS)


def resolve_paths(table: dict[str, Any], folder: Path) -> None:
    """Makes the paths of a study file's table absolute, in place."""
    plan = table.get("plan")
    if isinstance(plan, dict):
        for section, key in _FIELDS:
            entry = plan.get(section)
            if isinstance(entry, dict) and isinstance(entry.get(key), str):
                entry[key] = _resolved(folder, entry[key], (section, key) == ("base", "path"))
            elif isinstance(entry, dict) and isinstance(entry.get(key), list):
                entry[key] = [_resolved(folder, str(item), False) for item in entry[key]]
        _resolve_loras(plan.get("base"), folder)
    judge = table.get("judge")
    for key in ("clip", "image_encoder"):
        if isinstance(judge, dict) and isinstance(judge.get(key), str):
            local = _resolved(folder, judge[key], False)
            judge[key] = local if os.path.exists(local) else judge[key]
    search = table.get("search")
    if isinstance(search, dict) and isinstance(earlier := search.get("learn_from"), list):
        search["learn_from"] = [
            _resolved(folder, one, False) if isinstance(one, str) else one for one in earlier
        ]
    storage = table.get("storage")
    if (
        isinstance(storage, dict)
        and isinstance(place := storage.get("checkpoints"), str)
        and "://" not in place
    ):
        storage["checkpoints"] = _resolved(folder, place, False)


def _resolved(folder: Path, text: str, may_be_hub_name: bool) -> str:
    if written_problem(text):
        return text
    local = absolute(text, folder)
    return text if may_be_hub_name and is_hub_name(text) and not local.exists() else str(local)


def _resolve_loras(base: Any, folder: Path) -> None:
    loras = base.get("loras") if isinstance(base, dict) else None
    for lora in loras if isinstance(loras, list) else ():
        if isinstance(lora, dict) and isinstance(lora.get("file"), str):
            lora["file"] = _resolved(folder, lora["file"], False)
