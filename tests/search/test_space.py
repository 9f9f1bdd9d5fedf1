from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from search.parameter import SpaceError
from search.space import parse_space
from search.trial import Value


class Script:
    """A trial that answers from a list of values and remembers in which order it was asked."""

    def __init__(self, **values: Value) -> None:
        self.values: dict[str, Any] = values
        self.asked: list[str] = []

    def _answer(self, name: str) -> Any:
        self.asked.append(name)
        return self.values[name]

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        return float(self._answer(name))

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int:
        return int(self._answer(name))

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        return self._answer(name)


CHAIN: dict[str, dict[str, Any]] = {
    "c": {"low": 0.0, "high": 1.0, "when": {"b": ["on", "half"]}},
    "b": {"choices": ["on", "half", "off"], "when": {"a": True}},
    "a": {"choices": [False, True]},
    "free": {"low": 1, "high": 3},
}


def test_controlling_parameters_are_asked_first() -> None:
    trial = Script(a=True, b="half", c=0.5, free=2)
    assert parse_space(CHAIN).suggest(trial) == {"a": True, "b": "half", "c": 0.5, "free": 2}
    assert trial.asked == ["a", "free", "b", "c"]


def test_a_parameter_whose_condition_does_not_hold_is_left_out_with_those_that_hang_on_it() -> None:
    assert parse_space(CHAIN).suggest(Script(a=False, free=2)) == {"a": False, "free": 2}
    assert parse_space(CHAIN).suggest(Script(a=True, b="off", free=2)) == {"a": True, "b": "off", "free": 2}


def test_a_condition_may_rest_on_a_fixed_field() -> None:
    tables = {"beta": {"low": 0.9, "high": 0.99, "when": {"optimiser.name": "adamw"}}}
    space = parse_space(tables, fixed={"optimiser.name": "adamw"})
    assert space.suggest(Script(beta=0.95)) == {"beta": 0.95}
    with pytest.raises(SpaceError, match="never holds: it wants 'adamw', but it is fixed at 'lion'"):
        parse_space(tables, fixed={"optimiser.name": "lion"})


def test_all_wrong_tables_are_listed_at_once() -> None:
    with pytest.raises(SpaceError) as raised:
        parse_space(
            {"x": {"low": 2, "high": 1}, "y": {"choices": ["a"]}, "z": {"low": 0, "high": 1, "hi": 3}}
        )
    assert len(raised.value.problems) == 3
    assert raised.value.problems[0] == "x: low must not exceed high, but got low=2 and high=1."


def test_all_wrong_conditions_are_listed_at_once() -> None:
    with pytest.raises(SpaceError) as raised:
        parse_space(
            {
                "unknown": {"low": 0, "high": 1, "when": {"nobody": 1}},
                "range": {"low": 0, "high": 1, "when": {"unknown": 1}},
                "value": {"low": 0, "high": 1, "when": {"choice": "z"}},
                "choice": {"choices": ["x", "y"]},
                "egg": {"choices": ["x", "y"], "when": {"hen": "x"}},
                "hen": {"choices": ["x", "y"], "when": {"egg": "x"}},
                "fixed": {"low": 0, "high": 1},
            },
            fixed={"fixed": 0},
        )
    text = str(raised.value)
    assert len(raised.value.problems) == 5
    assert "unknown: the condition on 'nobody' names no parameter; choose among: range, value, " in text
    assert "range: the condition on 'unknown' must be on a choice or a fixed field" in text
    assert "value: the condition on 'choice' wants 'z', which its choices lack: 'x', 'y'." in text
    assert "form a circle: egg, hen." in text
    assert "fixed is both searched and fixed." in text


def test_a_hand_written_proposal_is_checked() -> None:
    space = parse_space(CHAIN)
    assert space.problems({"a": True, "b": "on", "c": 1, "free": 3}) == []
    assert space.problems({"d": 1, "free": 4, "b": "up"}) == [
        "Unknown parameter 'd'; choose among: c, b, a, free.",
        "free must lie between 1 and 3, but got 4.",
        "b must be one of: 'on', 'half', 'off', but got 'up'.",
    ]
    assert space.problems({"b": "off", "c": 0.5}) == [
        "c does not apply: it needs b to be 'on' or 'half', but it is 'off'."
    ]


def test_a_partial_proposal_is_wrong_only_if_nothing_could_complete_it() -> None:
    space = parse_space(CHAIN)
    assert space.problems({"c": 0.5}) == []
    assert space.problems({"a": False, "c": 0.5}) == [
        "c does not apply: it needs a to be true, but it is false."
    ]


def test_values_have_the_types_that_the_study_file_wrote() -> None:
    space = parse_space({"x": {"low": 0.0, "high": 1.0}, "y": {"choices": [1, 2]}})
    values = space.suggest(Script(x=1, y=2.0))
    assert [type(value) for value in values.values()] == [float, int]
