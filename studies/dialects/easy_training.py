"""LoRA_Easy_Training_Scripts: sd-scripts' keys in nested tables, lists as tables (ae5ce07, backend 162e56d)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from studies.dialects.translation import Translation, asks
from studies.errors import shown

_PAGES = ("args", "dataset_args")
_LISTS = ("network_args", "optimizer_args", "lr_scheduler_args")
_MODULES = {"algo": "lycoris.kohya", "unit": "networks.dylora"}
"""Network arguments that tell the module."""
_SCHEDULES = {"CosineAnnealingWarmRestarts": "cosine_with_restarts", "RexAnnealingWarmRestarts": "linear"}
"""Its own schedules -> the nearest of ours."""


def fits(table: Mapping[str, Any]) -> bool:
    """Whether it is of this layout: pages such as ``[general_args.args]``."""
    return any(isinstance(entry, dict) and any(page in entry for page in _PAGES) for entry in table.values())


def translated(table: Mapping[str, Any]) -> Translation:
    """What a saved set of arguments says."""
    out = Translation("LoRA_Easy_Training_Scripts")
    for name, entry in table.items():
        if isinstance(entry, dict):
            for page, keys in entry.items():
                if isinstance(keys, dict):
                    _page(keys, f"{name}.{page}", out)
                else:
                    out.refuse(f"{name}.{page}", "unknown")
        elif name != "subsets":
            out.put(name, entry)
    match table:
        case {"subsets": list(subsets)} if all(isinstance(subset, dict) for subset in subsets):
            bare = [{k: v for k, v in subset.items() if k != "name" and asks(v)} for subset in subsets]
            out.datasets = {"datasets": [{"subsets": bare}]}
        case {"subsets": other}:
            out.problems.append(f"subsets must be a list of tables, but got {shown(other)}.")
    return out


def _page(keys: Mapping[str, Any], page: str, out: Translation) -> None:
    for key, value in keys.items():
        if key in _LISTS and isinstance(value, dict):
            _list(key, value, out)
        elif key == "warmup_ratio":
            out.put("lr_warmup_steps", value, f"{page}.warmup_ratio")
            out.convert(f"{page}.warmup_ratio", f"{value} of all steps: schedule.warmup_share")
        elif key == "fa" and value:
            out.put("network_module", "networks.lora_fa", f"{page}.fa")
        elif key == "lr_scheduler_type":
            _schedule(str(value), out)
        elif asks(value):
            out.put(key, value)


def _list(key: str, arguments: Mapping[str, Any], out: Translation) -> None:
    """A table that is a list of ``name=value`` in sd-scripts."""
    for name, entry in arguments.items():
        text = ",".join(map(str, entry)) if isinstance(entry, list) else entry
        out.argument(key, name, text)
        if key == "network_args" and name in _MODULES:
            out.put("network_module", _MODULES[name])


def _schedule(kind: str, out: Translation) -> None:
    """Its own schedules stand as a class, and replace ``lr_scheduler``."""
    near = _SCHEDULES.get(kind.rpartition(".")[2])
    if near is None:
        out.put("lr_scheduler_type", kind)
        return
    out.put("lr_scheduler", near, "lr_scheduler_type")
    out.refuse("lr_scheduler_type", f"{kind!r} is not supported, {near!r} is taken")
