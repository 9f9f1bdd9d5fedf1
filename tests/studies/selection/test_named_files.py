"""What is said of the files that ``judge`` is given."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from studies.report.explanation import sentence
from studies.selection.base_outline import Outline, outline
from studies.selection.named_files import examine
from studies.text.i18n import translator
from trainer.bases import find
from trainer.plans.base import BasePlan

STEM = "lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn1_to_q"


@pytest.fixture(scope="module")
def base(assets: Path) -> Outline:
    return outline(find.find(BasePlan(path=assets / "micro-sd")))


def file(path: Path, *embeddings: str, rank: int = 2) -> Path:
    tensors = {
        f"{STEM}.lora_down.weight": torch.ones(rank, 96),
        f"{STEM}.lora_up.weight": torch.ones(96, rank),
    }
    save_file(tensors | {key: torch.ones(2, 128) for key in embeddings}, path)
    return path


def test_an_embedding_that_is_not_judged_is_told(base: Outline, tmp_path: Path) -> None:
    with_it = file(tmp_path / "a.safetensors", "bundle_emb.mycat.clip_l", "bundle_emb.dog.clip_l")
    found = examine([with_it, file(tmp_path / "b.safetensors", rank=3)], base)
    assert not found.problems
    assert (found.ranks, found.layers) == ([2, 3], [1, 1])
    (note,) = found.notes
    assert sentence(note) == (
        "a.safetensors bundles embeddings of its own (textual inversions: dog, mycat); they are not read, so it is "
        "judged without them."
    )
    assert "dog, mycat" in sentence(note, translator("zh"))


def test_a_file_of_nothing_but_an_embedding_holds_no_layer(base: Outline, tmp_path: Path) -> None:
    save_file({"bundle_emb.cat.clip_l": torch.ones(2, 128)}, tmp_path / "x.safetensors")
    (problem,) = examine([tmp_path / "x.safetensors"], base).problems
    assert "no keys of a LoRA" in problem


def test_sound_files_stand_beside_what_is_wrong_with_others(base: Outline, tmp_path: Path) -> None:
    odd = tmp_path / "odd.safetensors"
    save_file({f"{STEM}.lora_up.weight": torch.ones(96, 2), f"{STEM}.lambda_layer": torch.ones(2)}, odd)
    sound = file(tmp_path / "b.safetensors")
    found = examine([odd, sound, sound], base)
    assert [one.path for one in found.checkpoints] == [sound]
    (problem,) = found.problems
    assert problem.startswith(f"{odd}: 1 of its 2 keys are not understood")
