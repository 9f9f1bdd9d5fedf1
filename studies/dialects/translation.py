"""A foreign configuration key by key, and what it says under sd-scripts' keys (pure)."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from studies.dialects.account import Account
from studies.dialects.account import Unmet as Unmet
from studies.errors import StudyError, shown
from studies.spec.plan_fields import searchable

_FIELDS = searchable()
ENTRIES = "entries"
"""Key under which a list of tables stands, as some trainers' data sets are."""
MOST_KEYS = 20_000
"""Of a configuration; the longest known has 400."""
_DEEPEST = 12
OWN_SHIFT = "own"
"""Stands for the shift by which the base itself is rendered, until the base is known."""
_SHOWN = 4
"""Keys without effect that are named one by one."""


def asks(value: Any) -> bool:
    """Whether a value asks for something, as switches that are off, zeros and empty texts do not."""
    return not (value is None or value is False or value in (0, "", "0", "None", "false", "False", [], {}))


def leaves(table: Mapping[str, Any], prefix: str = "", depth: int = 0) -> Iterator[tuple[str, Any]]:
    """The values of a nested table by dotted key; lists stay whole.

    Raises:
        StudyError: it is nested too deeply, as a table is that holds itself.
    """
    if depth > _DEEPEST:
        raise StudyError(f"{shown(prefix)}: its tables are nested more than {_DEEPEST} deep.")
    for key, value in table.items():
        if isinstance(value, dict):
            yield from leaves(value, f"{prefix}{key}.", depth + 1)
        else:
            yield f"{prefix}{key}", value


class Foreign:
    """A foreign table whose values are taken one after the other; what remains is known.

    Raises:
        StudyError: it holds too many keys.
    """

    def __init__(self, table: Mapping[str, Any]) -> None:
        self.values: dict[str, Any] = {}
        for key, value in leaves(table):
            self.values[key] = value
            if len(self.values) > MOST_KEYS:
                raise StudyError(f"there are more than {MOST_KEYS} keys, so it is another kind of file.")
        self.used: set[str] = set()

    def take(self, key: str, default: Any = None) -> Any:
        """A value; the default if it says nothing."""
        self.used.add(key)
        value = self.values.get(key)
        return default if value is None or value == "" else value

    def peek(self, key: str) -> Any:
        """A value that somebody else takes."""
        return self.values.get(key)

    def text(self, key: str, default: str = "") -> str:
        """A value as a text."""
        value = self.take(key)
        return default if value is None else str(value)

    def on(self, key: str, default: bool = False) -> bool:
        """A switch.

        Raises:
            StudyError: it is none.
        """
        return bool(self._read(key, default, switch))

    def number(self, key: str, default: float = 0.0) -> float:
        """A number.

        Raises:
            StudyError: it is none.
        """
        return float(self._read(key, default, number))

    def _read(self, key: str, default: Any, kind: Callable[[Any], Any]) -> Any:
        value = self.take(key, default)
        try:
            return kind(value)
        except ValueError as error:
            raise StudyError(f"{key} must be {error}, but got {shown(value)}.") from None

    def rest(self) -> dict[str, Any]:
        """What nobody took."""
        return {key: value for key, value in self.values.items() if key not in self.used}


@dataclass(frozen=True, slots=True)
class Word:
    """What one foreign key is for us."""

    to: str
    """sd-scripts' key, or a plan field where sd-scripts has no word."""
    read: Callable[[Any], Any] | None = None
    """Makes our value of theirs; raises ValueError with what it must be."""
    says: str = ""
    """How the two differ in meaning, where they do."""
    default: Any = None
    """Their default, where it is not sd-scripts'."""


@dataclass(slots=True)
class Translation(Account):
    """What a configuration says."""

    trainer: str = ""
    """Whose it is; empty for sd-scripts' own."""
    values: dict[str, Any] = field(default_factory=dict)
    """By sd-scripts' key."""
    fields: dict[str, Any] = field(default_factory=dict)
    """By plan field, where sd-scripts has no key."""
    datasets: dict[str, Any] | None = None
    """A data set file's content."""
    implied: set[str] = field(default_factory=set)
    """Keys and fields that the file does not say: their trainer's own ways."""
    names: dict[str, str] = field(default_factory=dict)
    """sd-scripts' key -> what this file calls it, where that is another name."""

    def put(self, to: str, value: Any, key: str = "") -> None:
        """Sets a key of sd-scripts, or a plan field."""
        (self.fields if "." in to and to in _FIELDS else self.values)[to] = value
        if key and key != to:
            self.names[to] = key

    def imply(self, to: str, value: Any) -> None:
        """Sets what the trainer does where its file says nothing."""
        self.put(to, value)
        self.implied.add(to)

    def argument(self, to: str, name: str, value: Any, key: str = "") -> None:
        """Adds ``name=value`` to network_args or optimizer_args."""
        self.values.setdefault(to, []).append(f"{name}={value}")
        if key and key != name:
            self.names[f"{to}: {name}"] = key

    def apply(self, rows: Mapping[str, Word], source: Foreign) -> None:
        """Translates all keys of a table."""
        for key, row in rows.items():
            value = source.take(key)
            given = value is not None
            if not given and (value := row.default) is None:
                continue
            try:
                made = row.read(value) if row.read else value
            except ValueError as error:
                self.wrong(key, error, value)
                continue
            if made is None:
                continue
            self.put(row.to, made, key)
            if row.says and given:
                self.convert(key, f"{shown(value)} {row.says}: {row.to} = {made}")

    def keep(self, source: Foreign, idle: Mapping[str, str]) -> None:
        """Takes over what remains under its own name, but for what has no effect here."""
        kept = {key: value for key, value in source.rest().items() if _why(key, idle) is None}
        self.values = {**kept, **self.values}
        source.used |= kept.keys()
        self.remainder(source, idle)

    def remainder(self, source: Foreign, idle: Mapping[str, str]) -> None:
        """Names what nobody took and asks for something.

        Args:
            source: the configuration.
            idle: pattern of keys -> why they have no effect here.
        """
        reasons: dict[str, list[str]] = {}
        for key, value in source.rest().items():
            if not asks(value):
                continue
            why = _why(key, idle)
            if why is None:
                self.refuse(key, f"not supported ({shown(value)})")
            else:
                reasons.setdefault(why, []).append(key)
        for why, keys in reasons.items():
            more = f" and {len(keys) - _SHOWN} more" if len(keys) > _SHOWN else ""
            self.refuse(", ".join(keys[:_SHOWN]) + more, f"no effect here ({why})")

    def renamed(self, unmet: Unmet) -> Unmet:
        """A note under the name that the file gives the key."""
        return Unmet(self.names.get(unmet.key, unmet.key), unmet.reason)

    def explained(self, problem: str) -> str:
        """A problem with the file's own names of the keys in it."""
        theirs = [
            f"{key} stands there as {name}"
            for key, name in self.names.items()
            if re.search(rf"(?<![\w.]){re.escape(key)}(?![\w.])", problem)
        ]
        return f"{problem.rstrip('.')} ({'; '.join(theirs)})." if theirs else problem


def _why(key: str, idle: Mapping[str, str]) -> str | None:
    return next((reason for pattern, reason in idle.items() if fnmatchcase(key, pattern)), None)


def switch(value: Any) -> bool:
    """A switch, also one in words.

    Raises:
        ValueError: it is none.
    """
    if isinstance(value, bool) or value in (0, 1):
        return bool(value)
    found = {"true": True, "false": False, "1": True, "0": False}.get(str(value).lower())
    if found is None:
        raise ValueError("true or false")
    return found


def number(value: Any) -> float:
    """A finite number, also one in quotes.

    Raises:
        ValueError: it is none.
    """
    try:
        found = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        found = math.nan
    if not math.isfinite(found):
        raise ValueError("a number")
    return found


def nonzero(value: Any) -> Any:
    """The value, or None if it is zero: off."""
    return value if asks(value) else None


def named(names: Mapping[str, Any]) -> Callable[[Any], Any]:
    """Reads a choice by a table, in any case; what the table lacks is left for sd-scripts' reader to object to."""
    return lambda value: names.get(str(value).lower(), value)
