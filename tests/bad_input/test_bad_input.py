"""Every kind of bad input ends in sentences that name file, field, value and remedy; nothing is written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.bad_input import (
    base_models,
    command_lines,
    data_sets,
    lora_files,
    sd_scripts_files,
    study_files,
)
from tests.bad_input.scene import Bad, Scene, Words, seen

KINDS: list[Bad] = [
    *study_files.BAD,
    *base_models.BAD,
    *data_sets.BAD,
    *lora_files.BAD,
    *sd_scripts_files.BAD,
    *command_lines.BAD,
]
"""One entry a kind; the README beside this file lists them."""
MOST_LETTERS = 900
"""Of a sentence: one that lists all fields of the plan is the longest."""


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_bad_input_ends_in_a_sentence_and_writes_nothing(
    kind: Bad, scene: Scene, outcome: Callable[[Words], tuple[int, str, str]]
) -> None:
    words = kind.arrange(scene)
    before = seen(scene.root)
    code, out, err = outcome(words)
    assert seen(scene.root) == before
    assert code == 2, (out, err)
    said = [line for line in err.splitlines() if line.lower().startswith("error: ")]
    assert said, err
    assert len(said) == len(set(said))
    assert any(all(part in sentence for part in kind.says) for sentence in said), said
    for sentence in said:
        assert sentence.endswith((".", "?", ")")), sentence
        assert len(sentence) < MOST_LETTERS + len(str(scene.root)), sentence
        assert not {"Traceback", "pydantic", "0x7f"} & set(sentence.split()), sentence
    rest = set(err.splitlines()) - set(said)
    assert all(line.startswith(("Usage: ", "Try ")) or not line for line in rest), rest


def test_every_kind_has_a_name_of_its_own_and_stands_in_the_readme() -> None:
    names = [kind.name for kind in KINDS]
    assert len(names) == len(set(names)) >= 40
    listed = (Path(__file__).parent / "README.md").read_text(encoding="utf-8").splitlines()
    assert [line.split(" | ")[0].removeprefix("| ") for line in listed if line.startswith("| ")][1:] == names
