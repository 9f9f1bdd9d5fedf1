"""Names that become files and texts that become paths: what keeps them where they belong (pure)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from studies.errors import shown
from trainer.bases import hub

LONGEST = 100
"""Bytes of a file's name, so that there is room for epochs and suffixes under the usual 255."""


_RESERVED = re.compile(r"(?i)(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?")
"""Devices on Windows, whatever the suffix."""


_BARRED = re.compile(r'[\x00-\x1f\x7f-\x9f/\\:*?"<>|\u202a-\u202e\u2066-\u2069\ud800-\udfff]')


def reserved(name: str) -> bool:
    """Whether a name means a device on Windows, where workspaces and LoRA files get copied to."""
    return _RESERVED.fullmatch(name) is not None


def study_name(name: str) -> str:
    """A name that a study may have."""
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-._")[:64]
    return plain or "imported"


def file_problem(name: str) -> str | None:
    """Why a name cannot be that of a file, as a clause; it may have letters of any script, and spaces."""
    if not name.strip():
        return "it is empty"
    if name[0] in ".-" or name[-1] in ". ":
        return "it may not begin with '.' or '-', nor end with '.' or a space"
    if barred := _BARRED.search(name):
        return f"{barred[0]!r} may not stand in it"
    if reserved(name):
        return "Windows keeps that name for a device"
    if len(name.encode()) > LONGEST:
        return f"it has {len(name.encode())} bytes, at most {LONGEST} are allowed"
    return None


def path_problem(text: str) -> str | None:
    """Why a text is no path on any file system, as a clause."""
    if "\0" in text:
        return "it holds a NUL"
    if any(len(part.encode(errors="replace")) > 255 for part in text.split("/")) or len(text) > 4000:
        return "a name in it is longer than 255 bytes"
    return None


BACKSLASHES = (
    r"between double quotes a backslash begins an escape, so write a Windows path between single quotes "
    r"('C:\models\x'), with doubled backslashes or with forward slashes"
)
_ESCAPED = re.compile(r"[\x00-\x1f\x7f]")


def written_problem(text: str) -> str | None:
    r"""The same of a text from a TOML file, where ``"C:\temp"`` holds a tab."""
    if (problem := path_problem(text)) or not (found := _ESCAPED.search(text)):
        return problem
    return f"it holds {found[0]!r}; {BACKSLASHES}"


def is_hub_name(text: str) -> bool:
    """Whether a text that is no path on this disk reads as ``organisation/model``."""
    return "\\" not in text and not text.startswith(".") and hub.is_name(Path(text))


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
        if (problem := written_problem(text))
    ]


def _values(table: Mapping[str, Any], fields: Sequence[tuple[str, str]]) -> Iterator[tuple[Place, Any]]:
    plan = table.get("plan")
    for section, key in (*fields, ("base", "loras")):
        entry = plan.get(section) if isinstance(plan, dict) else None
        if isinstance(entry, dict):
            yield ("plan", section, key), entry.get(key)
    for section, key in (("judge", "clip"), ("judge", "image_encoder"), ("storage", "checkpoints")):
        entry = table.get(section)
        if isinstance(entry, dict):
            yield (section, key), entry.get(key)


def _texts(value: Any) -> Iterator[str]:
    for one in value if isinstance(value, list) else [value]:
        text = one.get("file") if isinstance(one, dict) else one
        if isinstance(text, str):
            yield text
