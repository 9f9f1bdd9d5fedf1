from __future__ import annotations

from typing import Any

import pytest

from studies.dialects.translation import (
    MOST_KEYS,
    Foreign,
    Translation,
    Unmet,
    Word,
    asks,
    number,
    switch,
)
from studies.errors import StudyError


@pytest.mark.parametrize("value", [None, False, 0, 0.0, "", "0", "None", "false", [], {}])
def test_what_is_off_asks_for_nothing(value: Any) -> None:
    assert not asks(value)


@pytest.mark.parametrize("value", [True, 1, -1, 0.1, "no", "x", [0], {"a": 0}])
def test_everything_else_asks(value: Any) -> None:
    assert asks(value)


def test_a_nested_table_is_taken_key_by_key() -> None:
    source = Foreign({"a": {"b": {"c": 1}, "d": ""}, "e": [2]})
    assert (source.take("a.b.c"), source.take("a.d", 5), source.take("gone")) == (1, 5, None)
    assert source.rest() == {"e": [2]}


def test_a_table_that_holds_itself_is_told() -> None:
    table: dict[str, Any] = {}
    table["a"] = table
    with pytest.raises(StudyError, match="nested more than"):
        Foreign(table)


def test_a_flood_of_keys_is_told() -> None:
    with pytest.raises(StudyError, match=f"more than {MOST_KEYS} keys"):
        Foreign({str(n): n for n in range(MOST_KEYS + 1)})


def test_tables_shared_a_thousandfold_are_told() -> None:
    table: dict[str, Any] = {"x": 1}
    for _ in range(10):
        table = {str(n): table for n in range(10)}
    with pytest.raises(StudyError, match="keys"):
        Foreign(table)


def test_words_are_renamed_read_and_told() -> None:
    source, out = Foreign({"percent": "5", "rank": 8, "many": "x", "off": 0}), Translation("toy")
    words = {
        "percent": Word("share", lambda value: number(value) / 100, "percent is a share"),
        "rank": Word("network_dim"),
        "many": Word("count", number),
        "left": Word("limit", default=2.0),
    }
    out.apply(words, source)
    assert out.values == {"share": 0.05, "network_dim": 8, "limit": 2.0}
    assert out.converted == ["percent: '5' percent is a share: share = 0.05"]
    assert out.problems == ["many must be a number, but got 'x'."]
    assert out.renamed(Unmet("network_dim", "too large")) == Unmet("rank", "too large")
    assert (
        out.explained("network_dim must be less.")
        == "network_dim must be less (network_dim stands there as rank)."
    )
    assert out.explained("network_dims are odd.") == "network_dims are odd."


def test_what_nobody_took_is_named_once_a_reason() -> None:
    source, out = (
        Foreign({"log": {f"k{n}": n for n in range(1, 8)}, "magic": 3, "off": False}),
        Translation("toy"),
    )
    out.remainder(source, {"log.*": "no records"})
    assert [str(unmet) for unmet in out.unmet] == [
        "magic: not supported (3)",
        "log.k1, log.k2, log.k3, log.k4 and 3 more: no effect here (no records)",
    ]


@pytest.mark.parametrize("value", ["", "x", None, True, float("nan"), float("inf"), [1], 10**400])
def test_what_is_no_number_is_told(value: Any) -> None:
    with pytest.raises(ValueError, match="a number"):
        number(value)


@pytest.mark.parametrize(("value", "on"), [("True", True), ("false", False), (1, True), ("0", False)])
def test_switches_in_words(value: Any, on: bool) -> None:
    assert switch(value) is on


def test_a_wrong_switch_or_number_names_key_and_value() -> None:
    source = Foreign({"a": {"on": "maybe", "n": "few"}})
    with pytest.raises(StudyError, match=r"a\.on must be true or false, but got 'maybe'"):
        source.on("a.on")
    with pytest.raises(StudyError, match=r"a\.n must be a number, but got 'few'"):
        source.number("a.n")
