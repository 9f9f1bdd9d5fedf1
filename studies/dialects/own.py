"""sd-scripts' own keys, flat or in sections of any name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from studies.dialects.files import SCRIPT
from studies.dialects.translation import Translation

_SKIPPED = {"metadata"}
"""Sections of lora-scripts' presets that describe the preset itself."""


def translated(table: Mapping[str, Any]) -> Translation:
    """What a configuration says: sections laid on top of each other; the last one that says a key counts."""
    out = Translation()
    for name, entry in table.items():
        if (name in _SKIPPED and isinstance(entry, dict)) or name == SCRIPT:
            continue
        if name in ("general", "datasets") and "datasets" in table:
            out.datasets = {**(out.datasets or {}), name: entry}
            continue
        inner = entry if isinstance(entry, dict) else {name: entry}
        for key, value in inner.items():
            if key in out.values and out.values[key] != value:
                out.refuse(key, f"stands twice, {value!r} is taken, not {out.values[key]!r}")
            out.values[key] = value
    return out
