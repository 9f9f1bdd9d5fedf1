"""Texts of every kind as tables, and what is no text of its kind."""

from __future__ import annotations

from typing import Any

import pytest

from studies.dialects import files
from studies.errors import StudyError


@pytest.mark.parametrize(
    ("path", "text", "table"),
    [
        ("a.toml", "[x]\nb = 1", {"x": {"b": 1}}),
        ("a.json", '{"b": 1}', {"b": 1}),
        ("noname", '  {"b": 1}', {"b": 1}),
        ("a.json", '[{"b": 1}, {}]', {"entries": [{"b": 1}, {}]}),
        ("a.yml", "b: 1\nc: [x, 'y']", {"b": 1, "c": ["x", "y"]}),
        ("a.sh", "train.py --b=1 --c x y --d", {"script": "train.py", "b": "1", "c": ["x", "y"], "d": True}),
        ("a.sh", "A=7 # seven\ntrain.py \\\n  --b $A --c ${A}k", {"script": "train.py", "b": "7", "c": "7k"}),
        ("a.ps1", '$a = "x y"\ntrain.py `\n --b $a', {"script": "train.py", "b": "x", "c": None}),
        ("a.bat", "python train.py ^\n --b 1", {"script": "train.py", "b": "1"}),
        ("noname", "accelerate launch --n 2 t.py --b -1", {"script": "t.py", "b": "-1"}),
    ],
)
def test_a_text_is_a_table(path: str, text: str, table: dict[str, Any]) -> None:
    if "c" in table and table["c"] is None:  # a value with a blank is several words, as in a shell
        table = {"script": "train.py", "b": ["x", "y"]}
    assert files.table(text, path) == table


def test_the_variables_of_lora_scripts_count_and_not_its_command() -> None:
    text = 'pretrained_model="m" # base\nlr=1e-4\nif [ $x ]; then a+=("--b"); fi\ntrain.py --lr=$lr'
    assert files.table(text, "train.sh") == {"pretrained_model": "m", "lr": "1e-4"}


@pytest.mark.parametrize(
    ("path", "text", "sentence"),
    [
        ("a.json", '{\n"b": }', "a.json:2: this is not valid JSON: "),
        ("a.json", "[1, 2]", "a.json: a configuration is a table"),
        ("a.json", "[" * 100_000, "a.json: this JSON cannot be read"),
        ("a.yaml", "a: [1,\nb: {", "this is not valid YAML: "),
        ("a.yaml", "just a text", "a.yaml: a configuration is a table"),
        (
            "a.yaml",
            "a: !!python/object:os.system x",
            "this is not valid YAML: could not determine a constructor",
        ),
        ("a.toml", '{"b": 1}', "a.toml:1: this is not valid TOML"),
        ("a.sh", "echo hello", "a.sh: there is no command with arguments such as --learning_rate"),
    ],
)
def test_what_is_no_table_is_told_with_its_place(path: str, text: str, sentence: str) -> None:
    with pytest.raises(StudyError) as caught:
        files.table(text, path)
    assert sentence in str(caught.value)
