"""TOML texts: values written, and the lines of keys found again (pure)."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from typing import Any

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


_BARE = re.compile(r"[A-Za-z0-9_-]+")
_ESCAPES = re.compile(r"['\x00-\x1f\x7f]")
"""What cannot stand between single quotes."""


def value(of: Any) -> str:
    """A value on the right of ``=``; tables are written inline, paths as text.

    Raises:
        TypeError: TOML has no word for it.
    """
    match of:
        case bool():
            return str(of).lower()
        case int() | float():
            return repr(of)
        case Mapping():
            inside = ", ".join(f"{key(name)} = {value(item)}" for name, item in of.items())
            return f"{{ {inside} }}" if inside else "{}"
        case list() | tuple():
            return f"[{', '.join(map(value, of))}]"
        case None:
            raise TypeError("TOML has no null")
        case _:
            return _text(str(of))


def _text(text: str) -> str:
    """Between single quotes where that shows backslashes as they are.

    Not if the last character is one: sd-scripts' reader (toml 0.10) takes it for an escape of the quote.
    """
    if "\\" in text and not text.endswith("\\") and not _ESCAPES.search(text):
        return f"'{text}'"
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007F")


def key(name: str) -> str:
    """A key, in quotes where it needs them."""
    return name if _BARE.fullmatch(name) else json.dumps(name, ensure_ascii=False)


def section(header: str, entries: Mapping[str, Any]) -> str:
    """A table with its header, a line for each entry; empty if there are none."""
    if not entries:
        return ""
    return "\n".join([header, *(f"{key(name)} = {value(item)}" for name, item in entries.items()), "", ""])


def comment(lines: list[str]) -> str:
    """Lines behind ``#``."""
    return "".join(f"# {line}".rstrip() + "\n" for text in lines for line in (text.splitlines() or [""]))
