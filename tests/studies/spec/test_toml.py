from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from studies.spec import toml
from studies.spec.toml import line_of, lines

TEXT = """\
[study]
name = "x"

[search.space]
"lora.rank" = { choices = [1, 2] }

[[first]]
"lora.rank" = 1

[[first]]
"lora.rank" = 2
"""


def test_every_key_and_header_has_its_line():
    found = lines(TEXT)
    assert found[("study", "name")] == 2
    assert found[("search", "space", "lora.rank")] == 5
    assert found[("first", "1", "lora.rank")] == 11


def test_an_unknown_key_is_placed_at_its_table():
    assert line_of(lines(TEXT), ("study", "seed")) == 1
    assert line_of(lines(TEXT), ("elsewhere",)) is None


def test_lines_of_a_long_text_may_look_like_keys() -> None:
    text = 'a = """\n[b c]\nd e = 1\n"\\q" = 2\n"""\nb = 1\n'
    assert lines(text)[("b",)] == 6


@pytest.mark.parametrize(
    "item",
    [
        *(True, False, 0, -3, 1e-5, 1e20, 0.1, "", 'a "quoted" \\ text', "two\nlines", "\x7f秋\t"),
        *([], [1, 2.5], ["a", [True]], {}, {"a b": 1, "c": {"d": []}}),
    ],
    ids=repr,
)
def test_what_is_written_is_read_again(item: Any) -> None:
    assert tomllib.loads(f"x = {toml.value(item)}")["x"] == item


def test_paths_are_texts() -> None:
    assert toml.value(Path("/a b")) == '"/a b"'


def test_there_is_no_null() -> None:
    with pytest.raises(TypeError, match="no null"):
        toml.value(None)


def test_sections_and_comments() -> None:
    assert toml.section("[a]", {}) == ""
    assert tomllib.loads(toml.section("[a]", {"lora.rank": 3})) == {"a": {"lora.rank": 3}}
    assert toml.comment(["one\ntwo", ""]) == "# one\n# two\n#\n"
