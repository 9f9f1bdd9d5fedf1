import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from safetensors.torch import load_file

from studies.cli.run import command
from studies.problems import StudyError
from studies.study import reopen


def run(study_file: Path, workspace: Path) -> str:
    result = CliRunner().invoke(
        command, [str(study_file), "--workspace", str(workspace)], catch_exceptions=False
    )
    return result.output


@pytest.fixture
def finished(small_study, tmp_path: Path) -> Path:
    run(small_study(trials=6, sampler="tpe", pruner="asha"), tmp_path / "first")
    return tmp_path / "first"


def test_a_study_scores_every_epoch_selects_confirms_and_tests(finished: Path):
    study = reopen(finished)
    records = study.memory.records()
    assert len(records) == 6
    assert {record.state for record in records} <= {"finished", "pruned", "infeasible"}
    selection = json.loads((finished / "selection.json").read_text())
    assert {"study", "rule", "winner", "candidates", "confirmation", "test"} <= selection.keys()
    assert {"trial", "epoch", "file", "params", "scores"} <= selection["winner"].keys()
    for record in records:
        epochs = [card["epoch"] for card in record.cards]
        assert epochs == list(range(1, len(epochs) + 1))
        assert len(list(study.workspace.trial(record.number).glob("trial-*.safetensors"))) == len(epochs)
    best = load_file(finished / "best.safetensors")
    assert best.keys() == load_file(finished / selection["winner"]["file"]).keys()
    assert list((finished / "artifacts").iterdir())


def test_the_same_study_gives_the_same_trials_and_the_same_selection(
    finished: Path, small_study, tmp_path: Path
):
    run(small_study(trials=6, sampler="tpe", pruner="asha"), tmp_path / "second")
    first, second = (
        json.loads((path / "selection.json").read_text()) for path in (finished, tmp_path / "second")
    )
    assert first == second
    states = [
        [(r.values, r.state) for r in reopen(p).memory.records()] for p in (finished, tmp_path / "second")
    ]
    assert states[0] == states[1]


def test_a_finished_study_is_not_searched_again(finished: Path, small_study):
    before = (finished / "selection.json").read_bytes()
    output = run(small_study(trials=6, sampler="tpe", pruner="asha"), finished)
    assert "started" not in output
    assert (finished / "selection.json").read_bytes() == before


def test_a_changed_data_set_is_refused_on_resume(finished: Path, small_study, tmp_path: Path):
    study_file = small_study(trials=8, sampler="tpe", pruner="asha")
    caption = next((tmp_path / "images").glob("*/*.txt"))
    caption.write_text("something else")
    with pytest.raises(StudyError, match="data set has changed"):
        run(study_file, finished)


def test_problems_of_base_and_images_are_told_before_any_training(small_study, tmp_path: Path):
    study_file = small_study()
    (tmp_path / "images" / "2_fluent" / "broken.png").write_bytes(b"no image")
    (tmp_path / "images" / "loose.png").write_bytes(b"")
    study_file.write_text(study_file.read_text().replace("micro-sd", "macro-sd"))
    with pytest.raises(StudyError) as caught:
        run(study_file, tmp_path / "never")
    told = "\n".join(caught.value.problems)
    assert "macro-sd: there is no base model here" in told
    assert "broken.png: this image cannot be read" in told
    assert "outside a folder named N_name" in told
    assert not (tmp_path / "never").exists()


def test_epochs_beyond_the_image_budget_are_refused(small_study, tmp_path: Path):
    study_file = small_study()
    study_file.write_text(study_file.read_text().replace("resolution = 64", "resolution = 64\nepochs = 50"))
    with pytest.raises(StudyError, match="is less than 50 epochs of"):
        run(study_file, tmp_path / "never")
