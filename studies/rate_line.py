"""Writes a range of learning rates into a study file's text and changes nothing else (pure)."""

from __future__ import annotations

import copy
import re
import tomllib

from studies import places
from studies.probing import FIELD, Range

_KEY = ("search", "space", FIELD)


def line(found: Range) -> str:
    """The range as a line under [search.space]."""
    return f'"{FIELD}" = {{ low = {found[0]:g}, high = {found[1]:g}, log = true }}'


def with_range(text: str, found: Range) -> str | None:
    """The text with the range in place of its own, or added; None where that cannot be done safely.

    Safely means: read as TOML, the text differs by that range alone.
    """
    known, lines = places.lines(text), text.splitlines(keepends=True)
    if _KEY in known:
        for end, value in zip(("low", "high"), found, strict=True):
            place = known.get((*_KEY, end), known[_KEY]) - 1
            lines[place] = re.sub(rf"(\b{end}\s*=\s*)[^\s,}}#]+", rf"\g<1>{value:g}", lines[place], count=1)
    elif _KEY[:2] in known:
        place = known[_KEY[:2]]
        ending = "\r\n" if lines[place - 1].endswith("\r\n") else "\n"
        if not lines[place - 1].endswith(("\n", "\r")):
            lines[place - 1] += ending
        lines.insert(place, line(found) + ending)
    edited = "".join(lines)
    return edited if _differs_by_the_range(text, edited, found) else None


def _differs_by_the_range(before: str, after: str, found: Range) -> bool:
    try:
        expected, now = copy.deepcopy(tomllib.loads(before)), tomllib.loads(after)
        entry = expected["search"]["space"].setdefault(FIELD, {"log": True})
        if "choices" in entry:
            return False
        entry.update(low=found[0], high=found[1])
    except (tomllib.TOMLDecodeError, KeyError, AttributeError, TypeError):
        return False
    return now == expected
