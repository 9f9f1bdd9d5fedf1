"""The two READMEs tell the same."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
README, CHINESE = ROOT / "README.md", ROOT / "README.zh-CN.md"
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def commands(path: Path) -> list[str]:
    """What the shell blocks run, without remarks."""
    blocks = [text for language, text in FENCE.findall(path.read_text()) if language != "toml"]
    lines = (line.partition("#")[0].strip() for text in blocks for line in text.splitlines())
    return [line for line in lines if line]


def study(path: Path) -> dict[str, Any]:
    (text,) = (text for language, text in FENCE.findall(path.read_text()) if language == "toml")
    return tomllib.loads(text)


def test_both_run_the_same_commands() -> None:
    assert commands(README) == commands(CHINESE)


def test_both_show_the_same_study() -> None:
    assert study(README) == study(CHINESE)


@pytest.mark.parametrize("path", [README, CHINESE])
def test_all_they_name_is_there(path: Path) -> None:
    named = re.findall(r"`((?:docs|benchmarks|studies|tests|tools)/[\w./-]+)`", path.read_text())
    assert named
    assert [name for name in named if not (ROOT / name).exists()] == []
