"""Runs and epochs of LoRA files by other trainers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from studies.selection.lora_names import numbered
from studies.selection.lora_runs import LoraCheckpoint, amounts, arrange


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("mycat-000007", ("mycat", 7, "epoch")),
        ("mycat_epoch7", ("mycat", 7, "epoch")),
        ("mycat-e07", ("mycat", 7, "epoch")),
        ("my cat ep 12", ("my cat", 12, "epoch")),
        ("mycat-step00000500", ("mycat", 500, "step")),
        ("checkpoint-1500", ("checkpoint", 1500, "step")),
        ("mycat_000000250", ("mycat", 250, "step")),
        ("mycat_20240101", ("mycat_20240101", None, "epoch")),
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


def said(name: str, epoch: int, step: int, run: str = "cat") -> tuple[Path, dict[str, str]]:
    """A file with sd-scripts' metadata."""
    facts = {"ss_output_name": run, "ss_epoch": str(epoch), "ss_steps": str(step), "ss_total_batch_size": "2"}
    return Path("out") / f"{name}.safetensors", facts


def told(found: Sequence[LoraCheckpoint]) -> list[tuple[str, str]]:
    return [(one.run, one.label) for one in found]


def test_the_file_without_a_number_is_the_last_epoch() -> None:
    found = arrange(files("cat", "cat-000002", "cat-000010", "cat-000004")).checkpoints
    assert [(one.number, one.label) for one in found] == [(2, "2"), (4, "4"), (10, "10"), (11, "last")]
    assert {one.run for one in found} == {"cat"}


def test_metadata_tell_the_epoch_where_the_name_does_not() -> None:
    pairs = [
        (Path("a.safetensors"), {"ss_epoch": "20"}),
        (Path("a-000010.safetensors"), {"ss_epoch": "3"}),
    ]
    assert [(one.number, one.label) for one in arrange(pairs).checkpoints] == [(10, "10"), (20, "20")]


def test_metadata_that_contradict_the_names_do_not_count() -> None:
    pairs = [(Path("a-000010.safetensors"), {}), (Path("a.safetensors"), {"ss_epoch": "10"})]
    assert [one.label for one in arrange(pairs).checkpoints] == ["10", "last"]


def test_mixed_runs_are_grouped_by_stem_and_by_folder() -> None:
    pairs = [*files("cat-000001", "dog_epoch1", "cat-000002"), (Path("other/cat-000001.safetensors"), {})]
    found = [(one.run, one.number) for one in arrange(pairs).checkpoints]
    assert found == [("out/cat", 1), ("out/cat", 2), ("dog", 1), ("other/cat", 1)]


def test_names_that_say_nothing_take_their_folders() -> None:
    paths = [Path(f"run/checkpoint-{n}/pytorch_lora_weights.safetensors") for n in (1000, 500)]
    last = Path("run/pytorch_lora_weights.safetensors")
    found = arrange([(path, {}) for path in [last, *paths]]).checkpoints
    assert told(found) == [("run", "step 500"), ("run", "step 1000"), ("run", "last")]


@pytest.mark.parametrize(
    ("names", "labels"),
    [
        (("cat_000000500", "cat", "cat_000000250"), ["step 250", "step 500", "last"]),
        (("epoch-000002", "last", "epoch-000001"), ["1", "2", "last"]),
        (("at-step00000200", "last", "at-step00000100"), ["step 100", "step 200", "last"]),
        (("cat-02", "cat-01", "cat-10"), ["1", "2", "10"]),
        (
            ("2026-11-30_10-20-00-save-500-5-0", "2026-11-30_10-10-00-save-250-2-50"),
            ["step 250", "step 500"],
        ),
        (("cat2026-11-30_10-20-00-save-9-1-0", "cat2026-11-30_10-10-00-save-8-0-8"), ["step 8", "step 9"]),
    ],
)
def test_every_trainers_names_make_one_run_in_the_order_of_training(
    names: tuple[str, ...], labels: list[str]
) -> None:
    found = arrange(files(*names))
    assert [one.label for one in found.checkpoints] == labels
    assert {one.run for one in found.checkpoints} == {"cat" if "cat" in names[0] else "out"}
    assert not found.unordered


def test_short_numbers_that_nothing_bears_out_are_part_of_the_name() -> None:
    assert told(arrange(files("style-512", "style-768", "cat-01")).checkpoints) == [
        ("style-512", "last"),
        ("style-768", "last"),
        ("cat-01", "last"),
    ]


def test_metadata_bear_out_short_numbers() -> None:
    found = arrange([said("cat-02", 2, 200), said("cat-01", 1, 100), said("cat-3", 3, 300)])
    assert told(found.checkpoints) == [("cat", "1"), ("cat", "2"), ("cat", "3")]
    assert told(arrange([said("cat-250", 1, 250), said("cat", 2, 400)]).checkpoints) == [
        ("cat", "step 250"),
        ("cat", "step 400"),
    ]


def test_a_renamed_file_goes_by_its_name() -> None:
    assert told(arrange([said("best", 2, 200), said("cat-000001", 1, 100)]).checkpoints) == [
        ("best", "2"),
        ("cat", "1"),
    ]


def test_epochs_and_steps_of_one_run_stand_in_one_order() -> None:
    steps = [said("cat-step00000250", 1, 250), said("cat-step00000500", 2, 500)]
    found = arrange([*steps, said("cat-000001", 1, 300), said("cat-000002", 2, 600)])
    assert told(found.checkpoints) == [("cat", "step 250"), ("cat", "1"), ("cat", "step 500"), ("cat", "2")]
    assert [one.place for one in found.checkpoints] == [0, 1, 2, 3]
    assert not found.unordered


def test_one_file_that_says_how_long_an_epoch_is_orders_all() -> None:
    bare = files("cat-step00000250", "cat-step00000650", "cat-000002")
    found = arrange([*bare, said("cat-000001", 1, 300)]).checkpoints
    assert [one.label for one in found] == ["step 250", "1", "2", "step 650"]
    assert amounts(found) == [1, 2, 3, 4]


def test_where_nothing_tells_how_long_an_epoch_is_it_is_said() -> None:
    found = arrange(files("cat-step00000250", "cat-000002", "cat-000001", "cat"))
    assert [one.label for one in found.checkpoints] == ["1", "2", "step 250", "last"]
    assert found.unordered == ["cat"]


def test_earlier_is_images_seen_where_all_tell_them() -> None:
    facts = {"ss_steps": "30", "ss_total_batch_size": "4"}
    one, two = Path("a-000001.safetensors"), Path("a-000002.safetensors")
    assert amounts(arrange([(one, facts), (two, {**facts, "ss_steps": "60"})]).checkpoints) == [120, 240]
    assert amounts(arrange([(one, facts), (two, {})]).checkpoints) == [1, 2]
