"""The keys of a configuration, taken one after the other; what remains could not be honoured."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from studies.dialects.account import Account
from studies.dialects.translation import number, switch
from studies.sd_scripts.keys import HARMLESS, NO_EFFECT, NOT_SUPPORTED
from studies.sd_scripts.names import PLAN
from studies.spec.plan_fields import searchable
from trainer.plan import TrainingPlan


@dataclass(slots=True)
class Settings(Account):
    """Flat keys and values, and what has become of them so far."""

    values: Mapping[str, Any]
    plan: dict[str, Any] = field(default_factory=dict)
    """Plan field -> value."""
    origin: dict[str, str] = field(default_factory=dict)
    """Plan field -> key."""
    used: set[str] = field(default_factory=set)
    implied: set[str] = field(default_factory=set)
    """Keys and fields that nobody wrote."""
    native: bool = False
    """Whether sd-scripts itself would run it."""

    def has(self, key: str) -> bool:
        """Whether the key says something; an empty text says nothing."""
        return self.values.get(key) not in (None, "", [])

    def take(self, *keys: str) -> Any:
        """The value of the first of ``keys`` that says something, else None; all of them count as seen."""
        self.used.update(keys)
        return next((self.values[key] for key in keys if self.has(key)), None)

    def number(self, key: str, default: float | None = None) -> float | None:
        """A finite number, also one in quotes."""
        value = self.take(key)
        if value is None:
            return default
        try:
            return number(value)
        except ValueError as error:
            self.wrong(key, error, value)
            return default

    def whole(self, key: str, default: int | None = None, least: int = 1) -> int | None:
        """A whole number of at least ``least``."""
        found = self.number(key)
        if found is None:
            return default
        if found != int(found) or found < least:
            self.wrong(key, f"a whole number of at least {least}", self.values[key])
            return default
        return int(found)

    def flag(self, key: str) -> bool:
        """Whether a switch is on."""
        value = self.take(key)
        try:
            return value is not None and switch(value)
        except ValueError as error:
            self.wrong(key, error, value)
            return False

    def text(self, key: str, default: str = "") -> str:
        """A text."""
        value = self.take(key)
        if value is None:
            return default
        if not isinstance(value, str):
            self.wrong(key, "a text", value)
            return default
        return value

    def pairs(self, key: str) -> dict[str, str]:
        """A list such as ``["conv_dim=4", "conv_alpha=1"]``."""
        value = self.take(key)
        entries = value.split() if isinstance(value, str) else value
        if entries is None:
            return {}
        if not isinstance(entries, list) or not all(isinstance(e, str) and "=" in e for e in entries):
            self.wrong(key, 'a list of texts such as ["name=value"]', value)
            return {}
        return {name.strip(): text.strip() for name, _, text in (entry.partition("=") for entry in entries)}

    def put(self, name: str, value: Any, key: str) -> None:
        """Sets a plan field; a default that nobody asked for is left out."""
        head = key.split(":")[0]
        if self.has(head) or value != FIELDS[name]:
            self.plan[name] = value
            self.origin[name] = key

    def idle(self, key: str, why: str) -> None:
        """Notes that a key, if it is there, has no effect here."""
        self.used.add(key)
        if self.values.get(key) not in (None, "", [], False, "0"):
            self.refuse(key, f"no effect here ({why})")

    def same(self) -> None:
        """Takes over all fields that hold the same value as their key."""
        for name, entry in PLAN.items():
            if not entry.same or name in self.plan:
                continue
            value = self.take(*entry.keys)
            off = FIELDS[name] is None and value in (0, "0")
            if value is not None and not (off and not isinstance(value, bool)):
                key = next(k for k in entry.keys if self.has(k))
                self.put(name, value, key)

    def remainder(self) -> None:
        """Names every key that nobody took."""
        for key, value in self.values.items():
            if key in self.used:
                continue
            if key in NO_EFFECT:
                self.idle(key, NO_EFFECT[key])
            elif key in NOT_SUPPORTED:
                if value not in (None, "", [], False, 0) and value != HARMLESS.get(key):
                    advice = NOT_SUPPORTED[key]
                    self.refuse(key, f"not supported; {advice}" if advice else "not supported")
            else:
                self.refuse(key, f"unknown{_meant(key)}")


def _defaults() -> dict[str, Any]:
    plan = TrainingPlan.model_validate({"base": {"path": "x"}, "data": {"folder": "x"}})
    found: dict[str, Any] = {}
    for name in searchable():
        section, _, leaf = name.partition(".")
        found[name] = getattr(getattr(plan, section), leaf) if leaf else getattr(plan, section)
    return found | {"data.folder": None, "base.path": None}


FIELDS: Mapping[str, Any] = _defaults()
"""Every field of the plan -> its default."""


def known_keys() -> list[str]:
    """All keys that are understood, honoured or not."""
    own = {key for entry in PLAN.values() for key in entry.keys if ":" not in key}
    return sorted(own | NO_EFFECT.keys() | NOT_SUPPORTED.keys() | {"network_args", "optimizer_args"})


def _meant(key: str) -> str:
    near = difflib.get_close_matches(key, known_keys(), n=1, cutoff=0.75)
    return f"; did you mean {near[0]}?" if near else ""
