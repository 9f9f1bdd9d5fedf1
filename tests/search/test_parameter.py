from typing import Any

import pytest

from search.parameter import Choice, Integer, Real, SpaceError, parse_parameter


def test_the_kind_follows_from_the_table() -> None:
    assert parse_parameter({"low": 1, "high": 8}) == Integer(low=1, high=8)
    assert parse_parameter({"low": 1, "high": 8.0}) == Real(low=1.0, high=8.0)
    assert parse_parameter({"low": 1, "high": 8, "log": True}) == Integer(low=1, high=8, log=True)
    assert parse_parameter({"low": 1, "high": 8, "type": "real"}) == Real(low=1.0, high=8.0)
    assert parse_parameter({"choices": ["adamw", "lion"]}) == Choice(choices=("adamw", "lion"))


def test_choices_keep_the_types_that_were_written() -> None:
    parameter = parse_parameter({"choices": [2, 0.5, "a", False]})
    assert isinstance(parameter, Choice)
    assert [type(choice) for choice in parameter.choices] == [int, float, str, bool]


def test_a_condition_may_be_one_value_or_several() -> None:
    assert parse_parameter({"low": 0.0, "high": 1.0, "when": {"a": True, "b": [1, 2]}}).when == {
        "a": (True,),
        "b": (1, 2),
    }


@pytest.mark.parametrize(
    ("table", "sentences"),
    [
        ({"low": 3, "high": 1}, ["low must not exceed high, but got low=3 and high=1"]),
        ({"low": 0.0, "high": 1.0, "log": True}, ["low must be above 0 with log, but got 0.0"]),
        (
            {"low": -1.0, "high": -2.0, "log": True},
            [
                "low must not exceed high, but got low=-1.0 and high=-2.0",
                "low must be above 0 with log, but got -1.0",
            ],
        ),
        ({"low": 1, "high": 9, "step": 3}, ["high must be low plus a multiple of step"]),
        ({"low": 1, "high": 9, "step": 0}, ["step must be at least 1, but got 0"]),
        ({"low": 1, "high": 9, "step": 2, "log": True}, ["step must be 1 with log, but got 2"]),
        ({"choices": ["a"]}, ["choices must hold at least 2 values, but got ['a']"]),
        ({"choices": ["a", "b", "a"]}, ["choices must differ, but 'a' stands twice"]),
        ({"choices": [1, True]}, ["choices must differ, but true stands twice"]),
        ({"low": 1.0}, ["high is missing"]),
        (
            {"lo": 1.0, "high": "x"},
            ["low is missing", "high: ", "got 'x'", "unknown key 'lo'; choose among: low"],
        ),
        ({"low": float("nan"), "high": 1.0}, ["low: ", "got nan"]),
        ({"type": "reel"}, ["unknown type 'reel'; choose one of: real, integer, choice"]),
    ],
)
def test_a_wrong_table_is_told_with_its_values(table: dict[str, Any], sentences: list[str]) -> None:
    with pytest.raises(SpaceError) as raised:
        parse_parameter(table)
    for sentence in sentences:
        assert sentence in str(raised.value)


@pytest.mark.parametrize(
    ("table", "where"),
    [
        ({"choices": [float("inf"), 5.0]}, "choices"),
        ({"choices": [5.0, float("nan")]}, "choices"),
        ({"choices": [5.0, [1]]}, "choices"),
        ({"choices": [5.0, 1.0], "when": {"a": float("inf")}}, "when.a"),
    ],
)
def test_one_wrong_value_is_one_sentence(table: dict[str, Any], where: str) -> None:
    with pytest.raises(SpaceError) as raised:
        parse_parameter(table)
    (problem,) = raised.value.problems
    assert problem.startswith(f"{where} must be finite numbers, texts, true or false, but got ")


def test_a_value_is_checked_against_its_range() -> None:
    assert Real(low=0, high=1).problem(1) is None
    assert Real(low=0, high=1).problem(1.5) == "must lie between 0.0 and 1.0, but got 1.5"
    assert Real(low=0, high=1).problem(True) == "must be a finite number, but got true"
    assert Integer(low=4, high=16, step=4).problem(8) is None
    assert Integer(low=4, high=16, step=4).problem(6) == "must be 4 plus a multiple of 4, but got 6"
    assert Integer(low=4, high=16).problem(4.0) == "must be an integer, but got 4.0"
    assert Choice(choices=("a", 1)).problem(1) is None
    assert Choice(choices=("a", 1)).problem(True) == "must be one of: 'a', 1, but got true"
