"""The search space: parameters by name, some of which apply only when others have certain values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Protocol

from search.parameter import Choice, Integer, Parameter, Real, SpaceError, parse_parameter, same, shown
from search.trial import Value

__all__ = [
    "Choice",
    "Integer",
    "Parameter",
    "Real",
    "Space",
    "SpaceError",
    "SuggestingTrial",
    "parse_parameter",
    "parse_space",
]


class SuggestingTrial(Protocol):
    """What a sampler offers: one value at a time, the same value when asked twice."""

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        """A real between `low` and `high`."""

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int:
        """An integer between `low` and `high`."""

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        """One of `choices`."""


@dataclass(frozen=True)
class Space:
    """A checked search space.

    Attributes:
        parameters: what is searched, by name.
        fixed: values of fields that are not searched but that a condition may mention.

    Raises:
        SpaceError: conditions name unknown or numeric parameters, values that cannot occur, or each other in
            a circle; all of them are listed.
    """

    parameters: Mapping[str, Parameter]
    fixed: Mapping[str, Value] = field(default_factory=lambda: MappingProxyType({}))

    def __post_init__(self) -> None:
        problems = [p for name in self.parameters for p in self._condition_problems(name)]
        problems += [f"{name} is both searched and fixed." for name in self.parameters if name in self.fixed]
        ordered = self._order()
        circle = [name for name in self.parameters if name not in ordered]
        if circle:
            problems.append(f"The conditions of these parameters form a circle: {', '.join(circle)}.")
        if problems:
            raise SpaceError(problems)

    def suggest(self, trial: SuggestingTrial) -> dict[str, Value]:
        """Asks a trial for every parameter that applies, controlling parameters first.

        Returns:
            The values by name; parameters whose condition does not hold are absent.
        """
        values: dict[str, Value] = {}
        for name in self._order():
            if self._applies(name, values):
                values[name] = _suggest(trial, name, self.parameters[name])
        return values

    def problems(self, values: Mapping[str, object]) -> list[str]:
        """What is wrong with a hand-written, perhaps partial, proposal, as sentences; empty if nothing is."""
        problems = []
        for name, value in values.items():
            if name not in self.parameters:
                choices = ", ".join(self.parameters)
                problems.append(f"Unknown parameter {name!r}; choose among: {choices}.")
            elif problem := self.parameters[name].problem(value):
                problems.append(f"{name} {problem}.")
            elif reason := self._ruled_out(name, values):
                problems.append(f"{name} does not apply: {reason}.")
        return problems

    def kinds(self) -> dict[str, str]:
        """Of each parameter what must stay the same throughout a study, in words."""
        return {name: _kind(parameter) for name, parameter in self.parameters.items()}

    def _order(self) -> list[str]:
        """Names with controlling ones first, otherwise as declared; names in a circle are left out."""
        ordered: list[str] = []
        waiting = list(self.parameters)
        while ready := [n for n in waiting if not self._controllers(n) & set(waiting)]:
            ordered += ready
            waiting = [n for n in waiting if n not in ready]
        return ordered

    def _controllers(self, name: str) -> set[str]:
        return set(self.parameters[name].when) & set(self.parameters)

    def _applies(self, name: str, values: Mapping[str, Value]) -> bool:
        known = {**self.fixed, **values}
        conditions = self.parameters[name].when.items()
        return all(other in known and _among(known[other], allowed) for other, allowed in conditions)

    def _ruled_out(self, name: str, values: Mapping[str, object]) -> str | None:
        """Why the known values keep a parameter from applying, whatever the sampler adds."""
        known = {**self.fixed, **values}
        for other, allowed in self.parameters[name].when.items():
            if other in known and not _among(known[other], allowed):
                return f"it needs {other} to be {_any_of(allowed)}, but it is {shown(known[other])}"
            if other not in known and (reason := self._ruled_out(other, values)):
                return reason
        return None

    def _condition_problems(self, name: str) -> list[str]:
        problems = []
        for other, allowed in self.parameters[name].when.items():
            start = f"{name}: the condition on {other!r}"
            match self.parameters.get(other):
                case Choice() as choice:
                    wrong = [value for value in allowed if choice.problem(value)]
                    if wrong:
                        known = ", ".join(map(shown, choice.choices))
                        problems.append(f"{start} wants {_any_of(wrong)}, which its choices lack: {known}.")
                case Real() | Integer():
                    problems.append(f"{start} must be on a choice or a fixed field, but that is a range.")
                case None if other not in self.fixed:
                    names = ", ".join(n for n in (*self.parameters, *self.fixed) if n != name)
                    problems.append(f"{start} names no parameter; choose among: {names}.")
                case None if not _among(self.fixed[other], allowed):
                    fixed = shown(self.fixed[other])
                    problems.append(
                        f"{start} never holds: it wants {_any_of(allowed)}, but it is fixed at {fixed}."
                    )
        return problems


def parse_space(tables: Mapping[str, Mapping[str, Any]], fixed: Mapping[str, Value] | None = None) -> Space:
    """The space that the tables of a study file describe, by parameter name.

    Raises:
        SpaceError: with every problem of every table; conditions are checked once the tables are right.
    """
    parameters: dict[str, Parameter] = {}
    problems = []
    for name, table in tables.items():
        try:
            parameters[name] = parse_parameter(table)
        except SpaceError as error:
            problems += [f"{name}: {problem}." for problem in error.problems]
    if problems:
        raise SpaceError(problems)
    return Space(parameters, dict(fixed or {}))


def _suggest(trial: SuggestingTrial, name: str, parameter: Parameter) -> Value:
    match parameter:
        case Real(low=low, high=high, log=log):
            return float(trial.suggest_float(name, low, high, log=log))
        case Integer(low=low, high=high, step=step, log=log):
            return int(trial.suggest_int(name, low, high, step=step, log=log))
        case Choice(choices=choices):
            chosen = trial.suggest_categorical(name, choices)
            return next(choice for choice in choices if choice == chosen)


def _kind(parameter: Parameter) -> str:
    match parameter:
        case Choice(choices=choices):
            return f"a choice of {', '.join(map(shown, choices))}"
        case Real(log=log):
            return "a real on a log scale" if log else "a real"
        case Integer(log=log):
            return "an integer on a log scale" if log else "an integer"


def _among(value: object, allowed: Sequence[Value]) -> bool:
    return isinstance(value, (bool, int, float, str)) and any(same(value, a) for a in allowed)


def _any_of(values: Sequence[Value]) -> str:
    return " or ".join(map(shown, values))
