from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from studies.report import usage
from studies.report.usage import trigger_word
from trainer.lora_files import file


@pytest.mark.parametrize(
    ("tags", "images", "word"),
    [
        ({"2_x": {"sks": 8, "dog": 3}}, 8, "sks"),
        ({"2_x": {"sks": 4}, "3_y": {"sks": 4, "dog": 5}}, 10, "sks"),
        ({"2_x": {"a red dog": 1, "a blue cat": 1, "a house": 1}}, 3, None),
        ({}, 0, None),
    ],
)
def test_trigger_word_is_what_most_captions_share(tags: object, images: int, word: str | None) -> None:
    facts = {"ss_tag_frequency": json.dumps(tags), "ss_num_train_images": str(images)}
    assert usage.trigger_word(facts) == word


@pytest.mark.parametrize("tags", ["no json", "[1]", '{"a": {"b": "many"}}'])
def test_strange_metadata_has_no_trigger_word(tags: str) -> None:
    assert usage.trigger_word({"ss_tag_frequency": tags, "ss_num_train_images": "2"}) is None


def test_metadata_is_read_without_the_tensors(tmp_path: Path) -> None:
    save_file({"x": torch.zeros(4)}, tmp_path / "a.safetensors", {"ss_seed": "7"})
    (tmp_path / "b.safetensors").write_bytes(b"\x04\x00\x00\x00\x00\x00\x00\x00oops")
    assert file.read_metadata(tmp_path / "a.safetensors") == {"ss_seed": "7"}
    assert file.read_metadata(tmp_path / "b.safetensors") == {}


def test_tag_counts_without_end_tell_no_trigger() -> None:
    facts = {"ss_tag_frequency": '{"a": {"x": Infinity}}', "ss_num_train_images": "3"}
    assert trigger_word(facts) is None
