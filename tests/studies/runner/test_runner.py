import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from search.driver import Driver
from search.trial import Reason
from studies.cli.run import command
from studies.errors import StudyError
from studies.spec.guards import GuardsSection
from studies.study.beginning import reopen
from tests.words import sentence_of


def run(study_file: Path, workspace: Path) -> str:
    result = CliRunner().invoke(
        command,
        [str(study_file), "--workspace", str(workspace), "--tensorboard"],
        catch_exceptions=False,
    )
    return result.output


def test_the_size_of_the_pack_is_measured_once_and_kept(small_study, tmp_path: Path):
    path = small_study(trials=1, images=16)
    path.write_text(path.read_text().replace("size = 3", 'size = "auto"\nmost = 2'))
    output = run(path, tmp_path / "auto")
    assert "measuring how many trials to train at a time" in output
    size = reopen(tmp_path / "auto").memory.recall("pack_size")
    assert f"a pack of {size} (images/s by size: 1: " in output
    assert size in (1, 2)
    assert "images/s by size" not in run(path, tmp_path / "auto")


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


def test_a_trial_with_every_checkpoint_barred_is_infeasible_and_the_verdict_says_so(
    small_study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(GuardsSection, "barred", lambda *_: Reason.told("it copies"))
    run(small_study(trials=2, images=16), tmp_path / "barred")
    study = reopen(tmp_path / "barred")
    for record in study.memory.records():
        assert record.state == "infeasible"
        assert sentence_of(record.reason) == "a guard bars every checkpoint: it copies"
        assert study.memory.annotation(record.number, "feasible") is False
        assert all(point.objective <= 0 for point in record.curve)
    selection = json.loads(study.workspace.selection.read_text())
    assert "A guard bars every one of them" in selection["explanation"]["reason"]
    assert {one["barred"]["values"]["text"] for one in selection["candidates"]} == {"it copies"}
    assert "A checkpoint is barred if" in selection["explanation"]["rule"]


def test_a_trial_that_another_runner_took_is_dropped_and_the_rest_goes_on(
    small_study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    real = Driver.report
    monkeypatch.setattr(
        Driver, "report", lambda self, number, *rest: real(self, number, *rest) if number else "lost"
    )
    output = run(small_study(trials=2, images=16), tmp_path / "ws")
    assert "trial   0 is no longer this runner's" in output
    study = reopen(tmp_path / "ws")
    assert [record.state for record in study.memory.records()] == ["running", "finished"]
    assert json.loads(study.workspace.selection.read_text())["winner"]["trial"] == 1
