"""Line numbers of the keys of a TOML text, which ``tomllib`` does not tell (pure)."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence

_HEADER = re.compile(r"\s*(\[\[?)\s*([^\[\]]+?)\s*\]\]?\s*(#.*)?")
_KEY = re.compile(r"""\s*((?:"[^"]*"|'[^']*'|[\w-]+)(?:\s*\.\s*(?:"[^"]*"|'[^']*'|[\w-]+))*)\s*=""")

Path = tuple[str, ...]


def lines(text: str) -> Mapping[Path, int]:
    """The line (from 1) of every table header and key; array tables are numbered as "first", "0", …"""
    found: dict[Path, int] = {}
    counts: dict[Path, int] = {}
    table: Path = ()
    for number, line in enumerate(text.splitlines(), start=1):
        if header := _HEADER.fullmatch(line):
            table = _parts(header[2])
            if header[1] == "[[":
                counts[table] = counts.get(table, -1) + 1
                table = (*table, str(counts[table]))
            found.setdefault(table, number)
        elif key := _KEY.match(line):
            found.setdefault((*table, *_parts(key[1])), number)
    return found


def line_of(found: Mapping[Path, int], path: Sequence[str | int]) -> int | None:
    """The line of ``path`` or of its nearest enclosing table."""
    parts = tuple(map(str, path))
    for end in range(len(parts), 0, -1):
        if parts[:end] in found:
            return found[parts[:end]]
    return None


def _parts(dotted: str) -> Path:
    """Splits ``search.space."lora.rank"`` as TOML does; a line inside a longer text may only look like a key."""
    try:
        table: object = tomllib.loads(f"{dotted} = 0")
    except (tomllib.TOMLDecodeError, RecursionError):
        return ()
    parts: list[str] = []
    while isinstance(table, dict):
        ((key, table),) = table.items()
        parts.append(key)
    return tuple(parts)
