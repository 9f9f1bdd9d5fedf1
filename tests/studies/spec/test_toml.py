from __future__ import annotations

import tomllib
from collections.abc import Callable
from pathlib import Path, PureWindowsPath
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


BACKSLASHED = [
    r"C:\data\10_cat",
    r"D:\new\temp\x.safetensors",
    r"\\nas\share\10_cat",
    r".\img",
    r"C:\it's",
    'C:\\a "b"',
    "C:\\",
    "\\",
    "C:\\a\tb",
    r"\(style\)",
]


@pytest.mark.parametrize("text", BACKSLASHED)
@pytest.mark.parametrize("around", [lambda x: x, lambda x: [x, x], lambda x: {"file": x, "weight": 1.0}])
def test_backslashes_are_read_again_also_by_sd_scripts_reader(
    text: str, around: Callable[[str], Any]
) -> None:
    written = f"x = {toml.value(around(text))}\n"
    assert tomllib.loads(written)["x"] == around(text)
    assert pytest.importorskip("toml").loads(written)["x"] == around(text)


def test_windows_paths_are_written_as_people_read_them() -> None:
    assert toml.value(PureWindowsPath("D:/models/x")) == r"'D:\models\x'"
    assert toml.value("D:\\") == r'"D:\\"'
    assert toml.section("[a]", {"b": r"\\nas\x"}) == "[a]\nb = '\\\\nas\\x'\n\n"
