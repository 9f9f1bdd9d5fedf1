from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from studies import toml_text


@pytest.mark.parametrize(
    "item",
    [
        *(True, False, 0, -3, 1e-5, 1e20, 0.1, "", 'a "quoted" \\ text', "two\nlines", "\x7f秋\t"),
        *([], [1, 2.5], ["a", [True]], {}, {"a b": 1, "c": {"d": []}}),
    ],
    ids=repr,
)
def test_what_is_written_is_read_again(item: Any) -> None:
    assert tomllib.loads(f"x = {toml_text.value(item)}")["x"] == item


def test_paths_are_texts() -> None:
    assert toml_text.value(Path("/a b")) == '"/a b"'


def test_there_is_no_null() -> None:
    with pytest.raises(TypeError, match="no null"):
        toml_text.value(None)


def test_sections_and_comments() -> None:
    assert toml_text.section("[a]", {}) == ""
    assert tomllib.loads(toml_text.section("[a]", {"lora.rank": 3})) == {"a": {"lora.rank": 3}}
    assert toml_text.comment(["one\ntwo", ""]) == "# one\n# two\n#\n"
