"""A small set: every trial is trained once without each fold, judged as one, and the winner on all of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from safetensors import safe_open

from benchmarks.chaos import run as start
from studies.engines.inline import open_worker
from studies.study import beginning
from studies.study.trial import read_trials
from studies.workspace import Workspace
from tests.studies.conftest import write_study
from tests.studies.runner.test_runner import run
from tests.studies.scenarios.test_resume import kill_after

FOLDS = 3


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    folder = tmp_path_factory.mktemp("folds")
    path = write_study(folder, trials=3, images=24)
    path.write_text(path.read_text().replace("folds = 0", f"folds = {FOLDS}"))
    run(path, folder / "ws")
    return Workspace(folder / "ws")


def plan_of(path: Path) -> dict[str, dict[str, object]]:
    with safe_open(path, "pt") as file:
        found: dict[str, dict[str, object]] = json.loads(file.metadata()["lorasearch_plan"])
    return found


def test_every_checkpoint_is_judged_on_all_images_but_the_test_sides(finished: Workspace) -> None:
    opened = beginning.reopen(finished.root)
    images = len(opened.dataset.split.train) + len(opened.dataset.split.validation)
    for trial in read_trials(opened.memory):
        for one in trial.checkpoints:
            assert len(one.scores.validation_by_image) == images
            assert one.scores.renders == opened.prompt_count


def test_images_of_all_runs_count_and_the_report_tells_of_the_folds(finished: Workspace) -> None:
    opened = beginning.reopen(finished.root)
    record = next(r for r in opened.memory.records() if r.cards)
    assert record.images_trained == FOLDS * record.images_seen > 0
    assert f"{FOLDS} folds: every trial is trained once without each" in finished.report.read_text()


def test_a_trial_leaves_a_file_for_each_fold(finished: Workspace) -> None:
    record = next(r for r in beginning.reopen(finished.root).memory.records() if r.cards)
    for fold in range(FOLDS):
        assert plan_of(finished.lora(record.number, 1, fold))["data"]["fold"] == fold


def test_the_winner_is_trained_again_on_all_folds_for_as_many_epochs(finished: Workspace) -> None:
    selection = json.loads(finished.selection.read_text())
    plan = plan_of(finished.best)
    assert plan["data"]["fold"] == -1
    with safe_open(finished.best, "pt") as file:
        metadata = file.metadata()
    opened = beginning.reopen(finished.root)
    images = len(opened.dataset.split.train) + len(opened.dataset.split.validation)
    assert int(metadata["ss_epoch"]) == selection["winner"]["epoch"]
    assert int(metadata["ss_num_train_images"]) % images == 0
    assert selection["test"]["renders"] > 0


def test_a_pooled_card_equals_what_each_run_gets_alone(finished: Workspace, tmp_path: Path) -> None:
    """Fold by fold, the same plan with ``data.fold`` alone has the scores of its part."""
    opened = beginning.reopen(finished.root)
    trial = next(t for t in read_trials(opened.memory) if t.checkpoints)
    pooled = trial.checkpoints[0].scores.validation_by_image
    alone: list[float] = []
    worker = open_worker(opened.spec, Workspace(tmp_path), opened.dataset, opened.seed, lambda *_: None)
    for place, judge in enumerate(worker._judges.judges):
        file = finished.lora(trial.number, 1, place)
        (card,) = worker._judges._read(judge, [file])
        alone += card.validation_by_image
    assert alone == pytest.approx(pooled, abs=2e-3)  # the files are fp16


def test_small_sets_are_dealt_into_folds_unless_told_otherwise(tmp_path: Path) -> None:
    path = write_study(tmp_path)
    path.write_text(path.read_text().replace("folds = 0\n", ""))
    dataset = beginning.begin(path, tmp_path / "ws").dataset
    assert len(dataset.folds) == 5
    assert any("5 folds" in warning for warning in dataset.warnings)


def test_a_study_in_folds_that_is_killed_goes_on_with_the_same_cards(
    finished: Workspace, tmp_path: Path
) -> None:
    path, workspace = finished.root.parent / "small.toml", tmp_path / "killed"
    for count in (2, 7):
        kill_after(start(path, workspace), workspace, count)
    assert start(path, workspace).wait() == 0
    roots = finished.root, workspace
    for trial, other in zip(*(read_trials(beginning.reopen(root).memory) for root in roots), strict=True):
        assert trial.values == other.values
        for one, again in zip(trial.checkpoints, other.checkpoints, strict=True):
            expected, found = (c.scores.validation_by_image for c in (one, again))
            assert found == pytest.approx(expected, abs=1e-5)
    first, second = (json.loads((root / "selection.json").read_text()) for root in (finished.root, workspace))
    assert [first["winner"][key] for key in ("trial", "epoch")] == [
        second["winner"][key] for key in ("trial", "epoch")
    ]
