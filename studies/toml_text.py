"""Plain values as TOML text (pure)."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

_BARE = re.compile(r"[A-Za-z0-9_-]+")


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
            return json.dumps(str(of), ensure_ascii=False).replace("\x7f", "\\u007F")


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
