"""One search parameter: a range of reals, a range of integers, or a choice."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from search.trial import Value


def _as_tuple(value: object) -> object:
    return value if isinstance(value, (list, tuple)) else (value,)


Condition = dict[str, Annotated[tuple[Value, ...], BeforeValidator(_as_tuple)]]
"""Names of other parameters with the values that each must have for a parameter to apply."""


def same(first: Value, second: Value) -> bool:
    """Whether two values are the same choice: 1 and 1.0 are, 1 and true are not."""
    return isinstance(first, bool) == isinstance(second, bool) and first == second


def shown(value: object) -> str:
    """A value as a person would write it in a study file."""
    return str(value).lower() if isinstance(value, bool) else repr(value)


class SpaceError(ValueError):
    """A parameter, a space or a proposal is wrong; `problems` holds every problem, one string each."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Real(_Model):
    """A real number between `low` and `high`, both included; sampled on a log scale if `log`."""

    low: float
    high: float
    log: bool = False
    when: Condition = Field(default_factory=dict)

    @model_validator(mode="after")
    def _check(self) -> Real:
        _raise_all(_range_problems(self.low, self.high, self.log))
        return self

    def problem(self, value: object) -> str | None:
        """What is wrong with a value, as the end of a sentence; None if nothing is."""
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            return f"must be a finite number, but got {shown(value)}"
        if not self.low <= value <= self.high:
            return f"must lie between {self.low} and {self.high}, but got {value}"
        return None


class Integer(_Model):
    """An integer between `low` and `high`, both included, in steps of `step`; on a log scale if `log`."""

    low: int
    high: int
    step: int = 1
    log: bool = False
    when: Condition = Field(default_factory=dict)

    @model_validator(mode="after")
    def _check(self) -> Integer:
        problems = _range_problems(self.low, self.high, self.log)
        if self.step < 1:
            problems.append(f"step must be at least 1, but got {self.step}")
        elif self.log and self.step != 1:
            problems.append(f"step must be 1 with log, but got {self.step}")
        elif self.low <= self.high and (self.high - self.low) % self.step:
            got = f"low={self.low}, high={self.high} and step={self.step}"
            problems.append(f"high must be low plus a multiple of step, but got {got}")
        _raise_all(problems)
        return self

    def problem(self, value: object) -> str | None:
        """What is wrong with a value, as the end of a sentence; None if nothing is."""
        if isinstance(value, bool) or not isinstance(value, int):
            return f"must be an integer, but got {shown(value)}"
        if not self.low <= value <= self.high:
            return f"must lie between {self.low} and {self.high}, but got {value}"
        if (value - self.low) % self.step:
            return f"must be {self.low} plus a multiple of {self.step}, but got {value}"
        return None


class Choice(_Model):
    """One of at least two different values, in no order."""

    choices: tuple[Value, ...]
    when: Condition = Field(default_factory=dict)

    @model_validator(mode="after")
    def _check(self) -> Choice:
        if len(self.choices) < 2:
            _raise_all([f"choices must hold at least 2 values, but got {list(self.choices)}"])
        twice = [a for i, a in enumerate(self.choices) if a in self.choices[:i]]
        if twice:  # 1 and true count as equal here: Optuna's storage cannot tell them apart
            _raise_all([f"choices must differ, but {shown(twice[0])} stands twice in {list(self.choices)}"])
        return self

    def problem(self, value: object) -> str | None:
        """What is wrong with a value, as the end of a sentence; None if nothing is."""
        if isinstance(value, (bool, int, float, str)) and any(same(value, c) for c in self.choices):
            return None
        return f"must be one of: {', '.join(shown(c) for c in self.choices)}, but got {shown(value)}"


Parameter = Real | Integer | Choice
KINDS: dict[str, type[Real | Integer | Choice]] = {
    "real": Real,
    "integer": Integer,
    "choice": Choice,
}


def parse_parameter(table: Mapping[str, Any]) -> Parameter:
    """The parameter that one table of a study file describes.

    The kind is the table's `type` (real, integer or choice); without it, `choices` makes a choice, two whole
    bounds an integer, anything else a real.

    Raises:
        SpaceError: the table is wrong; every problem of it is listed.
    """
    rest = {key: value for key, value in table.items() if key != "type"}
    kind = table.get("type") or _kind(rest)
    if kind not in KINDS:
        raise SpaceError([f"unknown type {kind!r}; choose one of: {', '.join(KINDS)}"])
    model = KINDS[kind]
    try:
        return model.model_validate(rest)
    except ValidationError as error:
        problems = [problem for found in error.errors() for problem in _sentences(found, model)]
        raise SpaceError(list(dict.fromkeys(problems))) from None


def _kind(table: Mapping[str, Any]) -> str:
    if "choices" in table:
        return "choice"
    bounds = [table.get("low"), table.get("high")]
    return "integer" if all(isinstance(b, int) and not isinstance(b, bool) for b in bounds) else "real"


def _sentences(error: Any, model: type[BaseModel]) -> list[str]:
    depth = 2 if error["loc"][:1] == ("when",) else 1
    where = ".".join(str(part) for part in error["loc"][:depth])
    match error["type"]:
        case "missing":
            return [f"{where} is missing"]
        case "extra_forbidden":
            return [f"unknown key {where!r}; choose among: {', '.join(model.model_fields)}, type"]
        case "value_error":
            return list(error["ctx"]["error"].problems)
        case _ if len(error["loc"]) > depth + 1:  # pydantic tells each kind that a choice could have been
            return [f"{where} must be finite numbers, texts, true or false, but got {error['input']!r}"]
        case _:
            return [f"{where}: {error['msg'][0].lower()}{error['msg'][1:]}, but got {error['input']!r}"]


def _range_problems(low: float, high: float, log: bool) -> list[str]:
    problems = []
    if low > high:
        problems.append(f"low must not exceed high, but got low={low} and high={high}")
    if log and low <= 0:
        problems.append(f"low must be above 0 with log, but got {low}")
    return problems


def _raise_all(problems: list[str]) -> None:
    if problems:
        raise SpaceError(problems)
