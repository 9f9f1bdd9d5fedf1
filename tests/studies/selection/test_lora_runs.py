"""Runs and epochs of LoRA files by other trainers."""

from __future__ import annotations

from pathlib import Path

import pytest

from studies.selection.lora_runs import amounts, arrange, numbered


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("mycat-000007", ("mycat", 7, "epoch")),
        ("mycat_epoch7", ("mycat", 7, "epoch")),
        ("mycat-e07", ("mycat", 7, "epoch")),
        ("my cat ep 12", ("my cat", 12, "epoch")),
        ("mycat-step00000500", ("mycat", 500, "step")),
        ("checkpoint-1500", ("checkpoint", 1500, "step")),
        ("trial-0003-000004", ("trial-0003", 4, "epoch")),
        ("mycat", ("mycat", None, "epoch")),
        ("mycat_v2", ("mycat_v2", None, "epoch")),
        ("dune2", ("dune2", None, "epoch")),
        ("chess4", ("chess4", None, "epoch")),
        ("style-512", ("style-512", None, "epoch")),
    ],
)
def test_numbers_are_told_from_names(name: str, found: tuple[str, int | None, str]) -> None:
    assert numbered(name) == found


def files(*names: str) -> list[tuple[Path, dict[str, str]]]:
    return [(Path("out") / f"{name}.safetensors", {}) for name in names]


def test_the_file_without_a_number_is_the_last_epoch() -> None:
    found = arrange(files("cat", "cat-000002", "cat-000010", "cat-000004"))
    assert [(one.number, one.label) for one in found] == [(2, "2"), (4, "4"), (10, "10"), (11, "last")]
    assert {one.run for one in found} == {"cat"}


def test_metadata_tell_the_epoch_where_the_name_does_not() -> None:
    pairs = [
        (Path("a.safetensors"), {"ss_epoch": "20"}),
        (Path("a-000010.safetensors"), {"ss_epoch": "3"}),
    ]
    assert [(one.number, one.label) for one in arrange(pairs)] == [(10, "10"), (20, "20")]


def test_metadata_that_contradict_the_names_do_not_count() -> None:
    pairs = [(Path("a-000010.safetensors"), {}), (Path("a.safetensors"), {"ss_epoch": "10"})]
    assert [one.label for one in arrange(pairs)] == ["10", "last"]


def test_mixed_runs_are_grouped_by_stem_and_by_folder() -> None:
    pairs = [*files("cat-000001", "dog_epoch1", "cat-000002"), (Path("other/cat-000001.safetensors"), {})]
    found = [(one.run, one.number) for one in arrange(pairs)]
    assert found == [("out/cat", 1), ("out/cat", 2), ("dog", 1), ("other/cat", 1)]


def test_names_that_say_nothing_take_their_folders() -> None:
    paths = [Path(f"run/checkpoint-{n}/pytorch_lora_weights.safetensors") for n in (1000, 500)]
    found = arrange([(path, {}) for path in paths])
    assert [(one.run, one.label) for one in found] == [
        ("checkpoint", "step 500"),
        ("checkpoint", "step 1000"),
    ]


def test_earlier_is_images_seen_where_all_tell_them() -> None:
    told = {"ss_steps": "30", "ss_total_batch_size": "4"}
    one, two = Path("a-000001.safetensors"), Path("a-000002.safetensors")
    assert amounts(arrange([(one, told), (two, {**told, "ss_steps": "60"})])) == [120, 240]
    assert amounts(arrange([(one, told), (two, {})])) == [1, 2]
