"""What all sections of a plan have in common, and what their fields say of themselves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.fields import FieldInfo

T = TypeVar("T")
Place = Literal["config", "dataset", "subset"]
"""Where sd-scripts' key stands when it is written: the configuration, ``[[datasets]]`` or ``[[datasets.subsets]]``."""
OFF = "off"
"""Says None of a field that None switches off, where a file or a choice has no word for None."""
Switchable = BeforeValidator(lambda value: None if value == OFF else value)
"""Of a field that ``OFF`` may switch off."""


@dataclass(frozen=True, slots=True)
class Meaning:
    """A field's unit, and what others call it."""

    keys: tuple[str, ...] = ()
    """sd-scripts' names; the first is written, the others are read too. Empty: it has no word for this."""
    unit: str = ""
    """Of our field; empty where it has none."""
    row: str = ""
    """What the guides call it, where that differs from the keys."""
    same: bool = False
    """Whether field and key hold the same value in the same unit, so that nothing is converted."""
    place: Place = "config"
    may_change: bool = False
    """Whether it may change while a study lasts: it says where, how fast or in how much memory, not what."""

    @property
    def key(self) -> str:
        """The name that is written."""
        return self.keys[0]


NOTHING = Meaning()
"""Of a field that has no unit and no other name."""


def means(
    *keys: str, unit: str = "", row: str = "", place: Place = "config", may_change: bool = False
) -> Meaning:
    """A field that sd-scripts lacks, or whose value it says otherwise: a converter in ``studies.sd_scripts`` helps."""
    return Meaning(keys, unit, row, False, place, may_change)


def same(
    *keys: str, unit: str = "", row: str = "", place: Place = "config", may_change: bool = False
) -> Meaning:
    """A field whose value stands under sd-scripts' key as it is, so that importing and exporting need no more."""
    return Meaning(keys, unit, row, True, place, may_change)


def meaning(info: FieldInfo) -> Meaning:
    """What a field says of itself; an empty one where it says nothing."""
    told = _extra(info).get("meaning", {})
    return Meaning(**{**told, "keys": tuple(told.get("keys", ()))})


def is_shared(info: FieldInfo) -> bool:
    """Whether all trials of a pack must agree on a field."""
    return bool(_extra(info).get("shared"))


def is_assigned(info: FieldInfo) -> bool:
    """Whether a study sets a field trial by trial."""
    return bool(_extra(info).get("assigned"))


def leaves(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """All fields of a model and of the sections in it, by dotted name."""
    for name, info in model.model_fields.items():
        if isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel):
            yield from leaves(info.annotation, f"{prefix}{name}.")
        else:
            yield prefix + name, info


def field(default: T, says: Meaning, **constraints: Any) -> T:
    """A field with a default that a study may search."""
    found: T = _made(default, says, {}, constraints)
    return found


def required(says: Meaning, **constraints: Any) -> Any:
    """A field without a default."""
    return _made(..., says, {}, constraints)


def shared(default: Any = ..., says: Meaning = NOTHING, **constraints: Any) -> Any:
    """A field on which all trials of a pack must agree, so that it cannot be searched."""
    return _made(default, says, {"shared": True}, constraints)


def assigned(default: Any, says: Meaning = NOTHING, **constraints: Any) -> Any:
    """A field that a study sets trial by trial, never a sampler; trials of a pack may differ in it."""
    return _made(default, says, {"assigned": True}, constraints)


def _extra(info: FieldInfo) -> Mapping[str, Any]:
    """What a field says beside its type and bounds; JSON values, so that a JSON schema can hold them."""
    found = info.json_schema_extra
    return found if isinstance(found, dict) else {}


def _made(default: Any, says: Meaning, flags: dict[str, bool], constraints: dict[str, Any]) -> Any:
    told = {**asdict(says), "keys": list(says.keys)}
    return Field(default, json_schema_extra={**flags, "meaning": told}, **constraints)


class Frozen(BaseModel):
    """Plans never change after they were checked, and a misspelt field is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
