from __future__ import annotations

from pathlib import Path

import pytest

from studies.commands.caption import worded, write


@pytest.mark.parametrize(
    ("description", "trigger", "wanted"),
    [
        ("a cat", "", "a cat"),
        ("a cat", "sks", "sks, a cat"),
        ("SKS on a mat", "sks", "SKS on a mat"),
        ("", "sks", "sks"),
    ],
)
def test_the_trigger_comes_first_and_once(description: str, trigger: str, wanted: str) -> None:
    assert worded(description, trigger) == wanted


def test_a_caption_that_appears_meanwhile_is_left_alone(tmp_path: Path) -> None:
    image, caption = tmp_path / "a.png", tmp_path / "a.txt"

    def describe(_: Path) -> str:
        caption.write_text("by hand")
        return "by machine"

    assert list(write([image], describe, "")) == []
    assert caption.read_text() == "by hand"
